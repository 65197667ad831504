"""Times what was trained, all models of a host in turns, and writes results/*_latency.jsonl.

usage: python -m studies.compression.latency [DIR] [--again] [--rounds N]

DIR is where run.py keeps models (runs/compression); what was timed is not timed again, unless
the uncompressed model is not there to be timed beside it.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from automl_rec.builder import restore
from automl_rec.costs import PRICED_ROWS
from automl_rec.data import Prepared
from automl_rec.data.row_batches import rows_of
from automl_rec.export import read_model
from automl_rec.objectives.latency import LIST_LENGTH
from automl_rec.objectives.ranking import shown
from automl_rec.plugin import Requests
from automl_rec.served import Served
from studies import places
from studies.compression.run import request
from studies.compression.study import Host, Point, read_study
from studies.compression.train_one import Ground, compressed, ground_of
from studies.published.sets import data_section

ANSWERS = 50
SEED = 0


def kept(points: list[Point], work: Path) -> list[Point]:
    """The uncompressed model, then others; those of which there is a model."""
    there = [point for point in points if (work / f"{point.key}.safetensors").is_file()]
    return sorted(there, key=lambda point: point.setting != "uncompressed")


def model_of(point: Point, work: Path, ground: Ground) -> Served:
    configuration = compressed(ground, point.compression)
    kept = read_model(work / f"{point.key}.safetensors")
    parts = (configuration, ground.data.catalog, ground.registry)
    return restore(*parts, kept.structure, kept.tensors)


def milliseconds(served: Served, data: Prepared) -> float:
    """Processor time of an answer, on one thread: the median of so many.

    On an idle machine it is the latency that the engine measures; on a busy one, what it would be.
    """
    draw = np.random.default_rng(SEED)
    taken = []
    for _ in range(ANSWERS):
        if data.task == "ranking":
            table = data.rows("test")
            start = int(draw.integers(0, len(table) - PRICED_ROWS + 1))
            rows = replace(rows_of(table, start, start + PRICED_ROWS), labels=None)
            began = time.thread_time()
            served.logits(rows)
        else:
            known = data.known("test")
            requests = Requests.of(known, draw.integers(0, known.num_users, 1))
            began = time.thread_time()
            shown(served, served.scores(requests), requests, LIST_LENGTH)
        taken.append(time.thread_time() - began)
    return 1e3 * statistics.median(taken)


def timed(host: Host, points: list[Point], work: Path, rounds: int) -> list[dict[str, Any]]:
    """Latency of each, the first being the uncompressed model.

    Of the rounds the least counts: what else the machine does only ever adds.
    """
    section = data_section(host.data)
    ground, models = ground_of(request(points[:1], section, work)), []
    for point in points:
        ground = ground_of(request([point], section, work), ground.data)
        models.append(model_of(point, work, ground))
    load = os.getloadavg()[0]
    taken = [[milliseconds(model, ground.data) for model in models] for _ in range(rounds)]
    columns = list(zip(*taken, strict=True))
    whole = columns[0]
    lines = []
    for point, own in zip(points, columns, strict=True):
        ratios = [one / reference for one, reference in zip(own, whole, strict=True)]
        line = {
            "latency_ms": min(own),
            "times": min(own) / min(whole),
            "middle": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        }
        told = {"key": point.key, "setting": point.setting, "size": point.size, "seed": point.seed}
        lines.append(told | {k: round(v, 4) for k, v in line.items()} | {"load": load})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the models that run.py has kept.")
    parser.add_argument("work", nargs="?", type=Path, default=places.RUNS / "compression")
    parser.add_argument("--again", action="store_true", help="also what was timed")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    done: set[str] = set()  # the short plan of a host may be a part of the full one
    for short in (False, True):
        study = read_study(short=short)
        everything = [point for training in study.trainings() for point in training]
        for host in study.hosts.values():
            for seed in range(host.seeds):
                own = [p for p in everything if p.host == host and p.seed == seed]
                points = kept(own, asked.work)
                known = {} if asked.again else host.latencies.by_key()
                new = [p for p in points[1:] if p.key not in known.keys() | done]
                if not new or points[0].setting != "uncompressed":
                    continue
                lines = timed(host, [points[0], *new], asked.work, asked.rounds)
                for line in lines:
                    host.latencies.add(line)
                    done.add(line["key"])
                print(f"{host.name}, seed {seed}: {len(lines)} timed", file=sys.stderr)


if __name__ == "__main__":
    main()
