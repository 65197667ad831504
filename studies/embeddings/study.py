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


@dataclass(frozen=True, slots=True)
class Host:
    """A model on data.

    Attributes:
        settings: the names of what is trained on it.
        budgets: at which of the study's.
        seeds: how many.
        seconds: wall time of each training.
    """

    name: str
    data: str
    objectives: tuple[str, ...]
    model: dict[str, dict[str, Any]]
    settings: tuple[str, ...]
    budgets: tuple[float, ...]
    seeds: int
    seconds: float

    @property
    def stem(self) -> str:
        """Of its files among the results."""
        return self.name.replace("/", "_")

    @property
    def results(self) -> Results:
        return Results.of("embeddings", self.stem)

    @property
    def width(self) -> int:
        (values,) = self.model.values()
        return values["width"]


@dataclass(frozen=True, slots=True)
class Training:
    """One training of the study.

    Attributes:
        family: the embedding's name, or "width".
        model: name -> hyperparameters.
        embedding: the name and what differs from its defaults; None for the model alone.
    """

    host: Host
    setting: str
    family: str
    budget: float | None
    seed: int
    model: dict[str, dict[str, Any]]
    embedding: tuple[str, dict[str, Any]] | None

    @property
    def key(self) -> str:
        """Changes with anything that study.yaml says of this training."""
        told = [self.host.data, self.host.objectives, self.model, self.embedding, self.seed]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        budget = "" if self.budget is None else f" at {self.budget:g}"
        return f"{self.host.name}, {self.setting}{budget}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Study:
    budgets: tuple[float, ...]
    hosts: dict[str, Host]
    settings: dict[str, dict[str, Any]]
    comparisons: dict[str, dict[str, Any]]

    def trainings(self, most_seeds: int | None = None) -> list[Training]:
        """Seed by seed; in each, host by host, from the largest tables to the smallest."""
        seeds = range(max(host.seeds for host in self.hosts.values()))
        return [
            training
            for seed in seeds[:most_seeds]
            for host in self.hosts.values()
            if seed < host.seeds
            for budget in (None, *host.budgets)
            for setting in host.settings
            for training in self._training(host, setting, budget, seed)
        ]

    def family(self, setting: str) -> str:
        return self.settings[setting].get("embedding", "width")

    def _training(
        self, host: Host, setting: str, budget: float | None, seed: int
    ) -> list[Training]:
        told = self.settings[setting]
        once = told.get("once", "width" in told)
        if once != (budget is None):
            return []
        model, embedding = host.model, None
        if "width" in told:
            ((name, values),) = model.items()
            model = {name: values | {"width": round(values["width"] * told["width"])}}
        else:
            sized = {} if budget is None else {"budget": budget}
            embedding = (told["embedding"], told.get("with", {}) | sized)
        return [Training(host, setting, self.family(setting), budget, seed, model, embedding)]


def read_study() -> Study:
    told = yaml.safe_load((HERE / "study.yaml").read_text())
    hosts = {name: _host(name, host, told) for name, host in told["hosts"].items()}
    return Study(tuple(told["budgets"]), hosts, told["settings"], told["comparisons"])


def _host(name: str, host: dict[str, Any], study: dict[str, Any]) -> Host:
    settings = host.get("settings", study["settings"])
    return Host(
        name,
        host["data"],
        tuple(host["objectives"]),
        host["model"],
        tuple(setting for setting in settings if setting not in host.get("without", ())),
        tuple(host.get("budgets", study["budgets"])),
        host["seeds"],
        host["seconds"],
    )
