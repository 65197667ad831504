"""What was found, averaged over seeds, and what of it is on a front."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studies.compression.study import Host, Point, Size, Study


@dataclass(frozen=True, slots=True)
class Found:
    """A setting at a size on a host; means over the seeds that were run.

    Attributes:
        validation: the first quality, by which fronts are decided.
        test: the first quality; ``spread`` is its standard deviation over seeds.
        share: of the bytes of the uncompressed model.
        times: its latency, of that of the uncompressed model timed in turn with it; or None.
        latency_ms: of one answer.
        cpu_seconds: of training and compression.
        shared: points of which this training is.
    """

    setting: str
    size: Size
    seeds: int
    validation: float
    test: float
    spread: float
    bytes: float
    share: float
    times: float | None
    latency_ms: float | None
    cpu_seconds: float
    shared: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A setting at a size that gave no model, and why."""

    setting: str
    size: Size
    why: str


Cost = Callable[[Found], float | None]


def read_points(study: Study, host: Host) -> tuple[list[Found], list[Refused]]:
    """Every setting and size of a host of which there is a result."""
    kept = host.results.by_key()
    timed = host.latencies.by_key()
    lines: dict[tuple[str, Size], list[dict[str, Any]]] = {}
    for point in _in_order(study, host):
        if point.key in kept:
            line = kept[point.key] | {"timed": timed.get(point.key)}
            lines.setdefault((point.setting, point.size), []).append(line)
    whole = next((own[0] for (setting, _), own in lines.items() if setting == "uncompressed"), None)
    if whole is None:
        return [], []
    points, refused = [], []
    for (setting, size), own in lines.items():
        good = [line for line in own if "test" in line]
        if good:
            points.append(_averaged(host, setting, size, good, whole["bytes"]))
        else:
            refused.append(Refused(setting, size, own[0]["refused"]))
    return points, refused


def kept_of(study: Study, host: Host) -> list[dict[str, Any]]:
    """The lines of a host's results that are of its plan."""
    kept = host.results.by_key()
    return [kept[point.key] for point in _in_order(study, host) if point.key in kept]


def _in_order(study: Study, host: Host) -> list[Point]:
    points = [p for training in study.trainings() for p in training if p.host == host]
    return sorted(points, key=lambda point: (host.settings.index(point.setting), point.round))


def _averaged(
    host: Host, setting: str, size: Size, lines: list[dict[str, Any]], whole: int
) -> Found:
    timed = [line["timed"] for line in lines if line["timed"]]
    first = host.objectives[0]
    tested = [line["test"][first] for line in lines]

    def mean(read: Callable[[dict[str, Any]], float]) -> float:
        return statistics.mean(read(line) for line in lines)

    return Found(
        setting=setting,
        size=size,
        seeds=len(lines),
        validation=mean(lambda line: line["validation"][first]),
        test=mean(lambda line: line["test"][first]),
        spread=statistics.stdev(tested) if len(tested) > 1 else 0.0,
        bytes=mean(lambda line: line["bytes"]),
        share=mean(lambda line: line["bytes"] / whole),
        times=statistics.mean(line["times"] for line in timed) if timed else None,
        latency_ms=statistics.mean(line["latency_ms"] for line in timed) if timed else None,
        cpu_seconds=mean(lambda line: line["train_cpu_seconds"] + line["after_cpu_seconds"]),
        shared=lines[0]["shared"],
    )
