"""The study as study.yaml says it: its trainings, and what was found of them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from studies.results import Results

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
KINDS = ("sparsity", "rank")

Size = float | str | None
"""A value of what sizes a setting; None of what has no size."""


@dataclass(frozen=True, slots=True)
class Host:
    """A model on data, in the full plan or the short one.

    Attributes:
        settings: the names of what is measured on it.
        sizes: hyperparameter -> its values.
        seeds: how many.
        seconds: wall time of each training.
        short: whether this is the short plan.
    """

    name: str
    data: str
    objectives: tuple[str, ...]
    model: dict[str, dict[str, Any]]
    narrower: tuple[dict[str, Any], ...]
    settings: tuple[str, ...]
    sizes: dict[str, list[Any]]
    seeds: int
    seconds: float
    short: bool

    @property
    def stem(self) -> str:
        """Of its files among the results."""
        return self.name.replace("/", "_")

    @property
    def results(self) -> Results:
        return Results.of("compression", self.stem)

    @property
    def latencies(self) -> Results:
        return Results.of("compression", f"{self.stem}_latency")


@dataclass(frozen=True, slots=True)
class Point:
    """A setting at a size with a seed.

    Attributes:
        round: which of its setting's sizes it is.
        model: name -> hyperparameters.
        compression: kind, name and what differs from its defaults; None for the model alone.
        slice: share of every weight's narrow side that is cut from a training of all ranks.
        training: what is trained for it; points of one training have the same.
    """

    host: Host
    setting: str
    size: Size
    round: int
    seed: int
    model: dict[str, dict[str, Any]]
    compression: tuple[str, str, dict[str, Any]] | None
    slice: float | None
    training: str

    @property
    def key(self) -> str:
        """Changes with anything that study.yaml says of this point."""
        host = self.host
        told = [host.data, host.objectives, self.model, self.compression, self.slice, self.seed]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        size = "" if self.size is None else f" at {self.size}"
        return f"{self.host.name}, {self.setting}{size}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Study:
    hosts: dict[str, Host]
    settings: dict[str, dict[str, Any]]
    comparisons: dict[str, dict[str, Any]]

    def trainings(self) -> list[list[Point]]:
        """The points of every training, in the order in which they run."""
        found: dict[tuple[Any, ...], list[Point]] = {}
        for host in self.hosts.values():
            for seed in range(host.seeds):
                for point in (p for s in host.settings for p in self._points(host, s, seed)):
                    found.setdefault((host.name, seed, point.training), []).append(point)
        return sorted(found.values(), key=_turn)

    def kind(self, setting: str) -> str:
        """``"sparsity"``, ``"rank"``, or ``"model"`` of what compresses nothing."""
        return next((kind for kind in KINDS if kind in self.settings[setting]), "model")

    def _points(self, host: Host, setting: str, seed: int) -> list[Point]:
        told = self.settings[setting]
        kind = self.kind(setting)
        if setting == "narrower":
            return [self._narrower(host, n, seed) for n in range(len(host.narrower))]
        sizes: list[Any] = host.sizes[told["size"]] if "size" in told else [None]
        points = []
        for number, size in enumerate(sizes):
            slices = told.get("slices", False)
            sized = {} if size is None or slices else {told["size"]: size}
            compression = (kind, told[kind], told.get("with", {}) | sized) if kind in told else None
            alone = f"{setting} {size}"
            training = "whole" if told.get("after") else setting if slices else alone
            cut = size if slices else None
            points.append(
                Point(host, setting, size, number, seed, host.model, compression, cut, training)
            )
        return points

    def _narrower(self, host: Host, number: int, seed: int) -> Point:
        told = host.narrower[number]
        ((name, values),) = host.model.items()
        size = ", ".join(f"{what} {value}" for what, value in told.items())
        model = {name: values | told}
        return Point(host, "narrower", size, number, seed, model, None, None, f"narrower {size}")


def _turn(points: list[Point]) -> tuple[int, int, bool]:
    """Seed by seed, in each the first size of all hosts; what serves many points before others."""
    return points[0].seed, points[0].round, points[0].training != "whole"


def read_study(*, short: bool) -> Study:
    told = yaml.safe_load((HERE / "study.yaml").read_text())
    hosts = {name: _host(name, host, told, short=short) for name, host in told["hosts"].items()}
    return Study(hosts, told["settings"], told["comparisons"])


def _host(name: str, host: dict[str, Any], study: dict[str, Any], *, short: bool) -> Host:
    ((model, values),) = host["model"].items()
    seeds, count = host["seeds"], None
    if short:
        values = values | host.get("short", {})
        seeds, count = study["short"]["seeds"], study["short"]["sizes"]
    sizes = study["sizes"] | host.get("sizes", {})
    return Host(
        name,
        host["data"],
        tuple(host["objectives"]),
        {model: values},
        tuple(host.get("narrower", ())),
        tuple(host.get("settings", study["settings"])),
        {what: found[:count] for what, found in sizes.items()},
        seeds,
        host["seconds"],
        short,
    )
