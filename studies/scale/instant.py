"""A study whose trials train nothing: the real loop, claims and database on a space that ships."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl_rec.data import Prepared, prepare
from automl_rec.objectives import resolve
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.plugin import Interval
from automl_rec.price import Price
from automl_rec.registry import Registry
from automl_rec.search.engine import Job
from automl_rec.search.pricing import Pricing
from automl_rec.search.session import Session, manifest_of
from automl_rec.space.checker import check
from automl_rec.space.configuration import Configuration
from automl_rec.space.space import Space
from automl_rec.storage.records import Role, StoredBudget
from automl_rec.storage.repository import Repository
from studies.engine import InstantEngine

SPACE = Path(__file__).parents[2] / "search_spaces" / "movielens_small.yaml"
NAME = "instant"


def measured(digest: str) -> dict[str, float]:
    """Objective -> value, within the space's bounds and independent of each other."""
    draw = random.Random(digest)
    return {
        "ndcg@10": draw.random(),
        "bytes": 10 ** draw.uniform(4.0, 6.5),
        "latency_ms": math.exp(draw.uniform(-3.0, 3.0)),
    }


def answer(job: Job) -> dict[str, tuple[float, None]]:
    """Values drawn from the configuration's digest."""
    return {name: (value, None) for name, value in measured(job.digest).items()}


def price(configuration: Configuration) -> Price:
    """The bytes measured; that they are found costs nothing here."""
    size = measured(configuration.digest)["bytes"]
    whole = Interval(size, size)
    return Price(whole, whole, Interval(0, 0), whole, whole, whole)


@dataclass(frozen=True, slots=True)
class Setting:
    """What every session of instant trials shares."""

    registry: Registry
    space: Space
    objectives: tuple[Objective, ...]
    data: Prepared

    @classmethod
    def of(cls, sampler: str) -> "Setting":
        registry = Registry.discover()
        text = f"{SPACE.read_text()}\nsearch: {{sampler: {sampler}}}\n"
        space = check(text, SPACE, registry)
        objectives = tuple(resolve(space.objectives, space.data.task))
        return cls(registry, space, objectives, prepare(space.data))

    def create(self, repository: Repository) -> None:
        """Adds the study to a database."""
        manifest = manifest_of(NAME, self.space, self.objectives, self.data, self.registry)
        repository.create_study(manifest)

    def session(
        self,
        repository: Repository,
        folder: Path,
        trials: int,
        role: Role = "search",
        listeners: tuple[Callable[[Any], None], ...] = (),
    ) -> Session:
        stored = repository.study(NAME)
        return Session(
            space=self.space,
            objectives=self.objectives,
            registry=self.registry,
            data=self.data,
            manifest=stored.manifest,
            stored=stored,
            engine=InstantEngine(answer),
            pricing=Pricing(price, self.objectives),
            folder=folder,
            budget=StoredBudget(trials=trials),
            role=role,
            listeners=listeners,
        )


def measurements(digest: str) -> dict[str, Measurement]:
    return {name: Measurement(value) for name, value in measured(digest).items()}
