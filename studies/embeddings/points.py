"""What was found, averaged over seeds, and what of it is on a front."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from studies.embeddings.study import Host, Study, Training


@dataclass(frozen=True, slots=True)
class Point:
    """A setting at a budget on a host; means over the seeds that were run.

    Attributes:
        validation: the first quality, by which fronts are decided.
        test: quality -> its mean; ``spread`` is the standard deviation over seeds of the first.
        tables: bytes of the tables; ``all`` those of everything that ships.
        share: of the bytes of full float32 tables.
        cpu_seconds: of training and compression, with validation.
        stopped: whether time ended one of the trainings.
    """

    setting: str
    family: str
    budget: float | None
    seeds: int
    validation: float
    test: dict[str, float]
    spread: float
    tables: float
    all: float
    share: float
    cpu_seconds: float
    stopped: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A setting at a budget that gave no model, and why."""

    setting: str
    budget: float | None
    why: str


Cost = Callable[[Point], float]


def read_points(study: Study, host: Host) -> tuple[list[Point], list[Refused]]:
    """Every setting and budget of a host of which there is a result."""
    kept = host.results.by_key()
    lines: dict[tuple[str, float | None], list[tuple[Training, dict[str, Any]]]] = {}
    for training in study.trainings():
        if training.host == host and training.key in kept:
            place = lines.setdefault((training.setting, training.budget), [])
            place.append((training, kept[training.key]))
    points, refused = [], []
    for (setting, budget), pairs in lines.items():
        good = [line for _, line in pairs if "test" in line]
        if good:
            points.append(_point(host, pairs[0][0], good))
        else:
            line = pairs[0][1]
            why = line.get("infeasible") or line["diverged"]
            refused.append(Refused(setting, budget, why))
    return points, refused


def behind(point: Point, points: Iterable[Point], cost: Cost) -> float:
    """Which part of the best quality at no more cost is missing."""
    best = max(q.validation for q in points if cost(q) <= cost(point))
    return 1 - point.validation / best


def _point(host: Host, training: Training, lines: list[dict[str, Any]]) -> Point:
    first = host.objectives[0]
    tested = [line["test"][first] for line in lines]

    def mean(read: Callable[[dict[str, Any]], float]) -> float:
        return statistics.mean(read(line) for line in lines)

    return Point(
        setting=training.setting,
        family=training.family,
        budget=training.budget,
        seeds=len(lines),
        validation=mean(lambda line: line["validation"][first]),
        test={
            name: statistics.mean(line["test"][name] for line in lines) for name in host.objectives
        },
        spread=statistics.stdev(tested) if len(tested) > 1 else 0.0,
        tables=mean(lambda line: line["bytes_tables"]),
        all=mean(lambda line: line["bytes"]),
        share=mean(lambda line: line["bytes_tables"] / line["full_bytes"]),
        cpu_seconds=mean(lambda line: line["train_cpu_seconds"]),
        stopped=any(line["stopped"] == "time" for line in lines),
    )
