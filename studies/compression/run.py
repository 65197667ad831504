"""Trains every setting at every size, times layers, and writes the README's tables and plots.

usage: python studies/compression/run.py [HOST ...] [--short] [--only SETTING ...] [--seeds N]
           [--minutes M] [--jobs N] [--work DIR] [--again] [--plan]

A HOST is data/model or the data alone. What is among the results is not measured again.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from study import HERE, PROJECT, RESULTS, Point, Study, data_section, found, read_study
from train_one import answer

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
PROCESSES = multiprocessing.get_context("forkserver")
LOADED_ONCE = ["torch", "automl_rec.evaluation", "automl_rec.search.shipping"]
"""Modules that every training needs, which take longer to load than some trainings."""
LAYERS = RESULTS / "layers.jsonl"


def chosen(study: Study, asked: argparse.Namespace) -> list[list[Point]]:
    """The points that were asked for, training by training, in the order in which they run."""
    kept = [
        [
            point
            for point in training
            if _is_named(point.host.name, asked.hosts)
            and (not asked.only or point.setting in asked.only)
            and (asked.seeds is None or point.seed < asked.seeds)
        ]
        for training in study.trainings()
    ]
    return [training for training in kept if training]


def _is_named(host: str, asked: list[str]) -> bool:
    return not asked or any(host == name or host.startswith(f"{name}/") for name in asked)


def missing(trainings: list[list[Point]]) -> list[list[Point]]:
    """Those points that no result is kept of."""
    known = {p.host.name: found(p.host.results) for training in trainings for p in training}
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


def train(points: list[Point], data: dict[str, Any], end: float, work: Path) -> int:
    """Keeps what a process of its own finds; how many failed. Nothing if time was up before."""
    if time.monotonic() >= end:
        return 0
    receiving, sending = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=answer, args=(request(points, data, work), sending))
    process.start()
    sending.close()
    failed = 0
    for point in points:
        try:
            line = receiving.recv()
        except EOFError:
            line = {"failed": "ended without an answer", "log": ""}
        print(f"{point.title}: {wording(line)}", flush=True)
        if "failed" in line:
            (work / f"{point.key}.log").write_text(f"{point.title}\n{line['log']}")
            failed = 1
            break
        keep(point, line)
    process.join()
    return failed


def keep(point: Point, line: dict[str, Any]) -> None:
    """Adds a line to the results; of two with one key, the later counts."""
    told = {
        "key": point.key,
        "setting": point.setting,
        "size": point.size,
        "seed": point.seed,
        "short": point.host.short,
    }
    with point.host.results.open("a") as file:
        file.write(json.dumps(told | line) + "\n")


def wording(line: dict[str, Any]) -> str:
    for fault in ("refused", "failed"):
        if fault in line:
            return f"{fault}: {line[fault]}"
    # Of validation: what is seen while the study is made must not be of test.
    quality, value = next(iter(line["validation"].items()))
    spent = line["train_cpu_seconds"] + line["after_cpu_seconds"]
    return f"{quality} {value:.4f}, {line['bytes']:,} bytes, {spent:.0f} s"


def run(trainings: list[list[Point]], asked: argparse.Namespace) -> int:
    """Trains them, some at once; 1 if any failed."""
    end = time.monotonic() + 60 * asked.minutes
    data = {name: data_section(name) for name in {t[0].host.data for t in trainings}}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    PROCESSES.set_forkserver_preload(LOADED_ONCE)
    RESULTS.mkdir(exist_ok=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        running = [pool.submit(train, t, data[t[0].host.data], end, asked.work) for t in trainings]
        failed = sum(future.result() for future in running)
    if failed:
        print(f"{failed} failed; {asked.work} says why.", file=sys.stderr)
    return min(failed, 1)


def parsed() -> argparse.Namespace:
    study = read_study(short=False)
    parser = argparse.ArgumentParser(description="Measures every compression at every size.")
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"of {', '.join(study.hosts)}")
    parser.add_argument("--short", action="store_true", help="one seed, few epochs, two sizes")
    parser.add_argument("--only", nargs="+", metavar="SETTING")
    parser.add_argument("--seeds", type=int, metavar="N", help="no more than the first N")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin none after")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    parser.add_argument("--work", type=Path, default=PROJECT / "runs" / "compression")
    parser.add_argument("--again", action="store_true", help="also what is among the results")
    parser.add_argument("--plan", action="store_true", help="show what would be run, and end")
    asked = parser.parse_args()
    for name in asked.hosts:
        if not any(_is_named(host, [name]) for host in study.hosts):
            parser.error(f"no host is named {name}")
    if unknown := set(asked.only or ()) - study.settings.keys():
        parser.error(f"no setting is named {', '.join(sorted(unknown))}")
    return asked


def main() -> int:
    asked = parsed()
    trainings = chosen(read_study(short=asked.short), asked)
    if not asked.again:
        trainings = missing(trainings)
    if asked.plan:
        print(*(point.title for training in trainings for point in training), sep="\n")
        print(f"{sum(map(len, trainings))} points of {len(trainings)} trainings")
        return 0
    if asked.again or not LAYERS.is_file():
        subprocess.run([sys.executable, str(HERE / "layers.py")], check=True)
    worst = run(trainings, asked)
    subprocess.run([sys.executable, str(HERE / "latency.py"), str(asked.work)], check=True)
    subprocess.run([sys.executable, str(HERE / "table.py")], check=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
