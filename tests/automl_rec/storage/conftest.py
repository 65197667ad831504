"""A small study and its trials."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.plugin import Value
from automl_rec.storage.records import FinishedTrial, Manifest
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy

MakeTrial = Callable[..., FinishedTrial]


@dataclass(frozen=True)
class Somewhere:
    values: dict[str, Value]
    distributions: dict[str, BaseDistribution]


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        name="ratings",
        space_text="model: [ease]\n",
        space_digest="space-1",
        data_digest="data-1",
        data={"source": "ratings.csv", "users": 10, "split": {"kind": "last"}},
        objectives=(
            Objective("ndcg@10", "maximize", ""),
            Objective("bytes", "minimize", "B", bound=100.0, priced=True),
            Objective("latency_ms", "minimize", "ms"),
        ),
        plugins={"automl-rec": "0.1.0"},
        environment={"python": "3.11"},
        seed=7,
        created=1_700_000_000.5,
    )


@pytest.fixture
def make_trial() -> MakeTrial:
    """Makes a finished trial, another at each call; keywords replace fields."""
    counter = itertools.count()

    def make(**fields: Any) -> FinishedTrial:
        index = next(counter)
        return FinishedTrial(
            **{
                "uuid": f"uuid-{index}",
                "digest": f"digest-{index}",
                "configuration": {"model": {"ease": {"regularisation": 10.0 + index}}},
                "state": "complete",
                "measurements": {
                    "ndcg@10": Measurement(0.25, 0.01),
                    "bytes": Measurement(90.0),
                    "latency_ms": Measurement(0.5),
                },
                "violations": {"bytes": -10.0},
                "seed": 2**62 + index,
                "started": 1_700_000_001.25,
                "finished": 1_700_000_003.75,
                "origin": "sampler",
                **fields,
            }
        )

    return make


@pytest.fixture
def place() -> Somewhere:
    return Somewhere(
        {"model": "ease", "model.ease.regularisation": 10.0, "model.ease.steps": 3, "flag": True},
        {
            "model": CategoricalDistribution(("ease", "sasrec")),
            "model.ease.regularisation": FloatDistribution(1.0, 1000.0, log=True),
            "model.ease.steps": IntDistribution(1, 5),
            "flag": CategoricalDistribution((False, True)),
        },
    )


@pytest.fixture
def repository(url: str) -> Iterator[Repository]:
    with Repository.open(url) as opened:
        yield opened


@pytest.fixture
def study(repository: Repository, manifest: Manifest) -> StoredStudy:
    return repository.create_study(manifest)
