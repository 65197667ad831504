"""Trains every setting at every size, times layers, and writes the README's tables and plots.

usage: python -m studies.compression.run [HOST ...] [--short] [--only SETTING ...] [--seeds N]
           [--minutes M] [--jobs N] [--work DIR] [--again] [--plan]

A HOST is data/model or the data alone. What is among the results is not measured again.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from studies import plan
from studies.compression.study import RESULTS, Point, Study, read_study
from studies.compression.train_one import lines
from studies.processes import measure, run
from studies.published.sets import data_section

LAYERS = RESULTS / "layers.jsonl"
Data = dict[str, dict[str, Any]]


def chosen(study: Study, asked: argparse.Namespace) -> list[list[Point]]:
    """The points that were asked for, training by training, in the order in which they run."""
    kept = [
        [
            point
            for point in training
            if plan.is_named(point.host.name, asked.hosts)
            and (not asked.only or point.setting in asked.only)
            and (asked.seeds is None or point.seed < asked.seeds)
        ]
        for training in study.trainings()
    ]
    return [training for training in kept if training]


def missing(trainings: list[list[Point]]) -> list[list[Point]]:
    """Those points that no result is kept of."""
    hosts = {point.host.name: point.host for training in trainings for point in training}
    known = {name: host.results.by_key() for name, host in hosts.items()}
    kept = [[p for p in training if p.key not in known[p.host.name]] for training in trainings]
    return [training for training in kept if training]


def request(points: list[Point], data: dict[str, Any], work: Path) -> dict[str, Any]:
    first = points[0]
    files = [str(work / f"{point.key}.safetensors") for point in points]
    return {
        "data": data,
        "objectives": first.host.objectives,
        "model": first.model,
        "parts": [
            {"compression": point.compression, "slice": point.slice, "file": file}
            for point, file in zip(points, files, strict=True)
        ],
        "seed": first.seed,
        "seconds": first.host.seconds,
    }


def train(data: Data, work: Path, points: list[Point]) -> bool:
    """Keeps what a process of its own finds of every point; whether it could."""
    asked = request(points, data[points[0].host.data], work)
    for line, point in zip(measure(lines, asked), points, strict=False):
        print(f"{point.title}: {wording(line)}", flush=True)
        if "failed" in line:
            (work / f"{point.key}.log").write_text(f"{point.title}\n{line['log']}")
            return False
        keep(point, line)
    return True


def keep(point: Point, line: dict[str, Any]) -> None:
    told = {
        "key": point.key,
        "setting": point.setting,
        "size": point.size,
        "seed": point.seed,
        "short": point.host.short,
    }
    point.host.results.add(told | line)


def wording(line: dict[str, Any]) -> str:
    for fault in ("refused", "failed"):
        if fault in line:
            return f"{fault}: {line[fault]}"
    # Of validation: what is seen while the study is made must not be of test.
    quality, value = next(iter(line["validation"].items()))
    spent = line["train_cpu_seconds"] + line["after_cpu_seconds"]
    return f"{quality} {value:.4f}, {line['bytes']:,} bytes, {spent:.0f} s"


def parsed() -> argparse.Namespace:
    study = read_study(short=False)
    parser = plan.parser("compression", "Measures every compression at every size.", study.hosts)
    parser.add_argument("--short", action="store_true", help="one seed, few epochs, two sizes")
    return plan.parse(parser, study.hosts, study.settings)


def main() -> int:
    asked = parsed()
    trainings = chosen(read_study(short=asked.short), asked)
    if not asked.again:
        trainings = missing(trainings)
    if asked.plan:
        print(*(point.title for training in trainings for point in training), sep="\n")
        print(f"{sum(map(len, trainings))} points of {len(trainings)} trainings")
        return 0
    timed = asked.again or not LAYERS.is_file()
    layers = run("studies.compression.layers") if timed else 0
    data = {name: data_section(name) for name in {t[0].host.data for t in trainings}}
    worst = plan.run(trainings, partial(train, data, asked.work), asked)
    latency = run("studies.compression.latency", asked.work)
    return max(layers, worst, latency, run("studies.compression.table"))


if __name__ == "__main__":
    sys.exit(main())
