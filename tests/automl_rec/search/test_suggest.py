"""Domains become distributions, trials become configurations, and back."""

from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from automl_rec.plugin import Choice, Constant, Domain, Float, Integer
from automl_rec.search.suggest import distribution, place, suggest
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space

SpaceOf = Callable[[str], Space]
WIDE = """
model: [tower, closed, tiny]
embedding: [full, hash]
rank: [whole, svd]
sparsity: [none, magnitude]
"""


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (Float(0.1, 2.0, 1.0), FloatDistribution(0.1, 2.0)),
        (Float(0.1, 2.0, 1.0, log=True), FloatDistribution(0.1, 2.0, log=True)),
        (Integer(1, 9, 3, log=True), IntDistribution(1, 9, log=True)),
        (Choice(("a", "b"), "b"), CategoricalDistribution(("a", "b"))),
        (Constant(7), CategoricalDistribution((7,))),
    ],
)
def test_every_domain_has_its_distribution(domain: Domain, expected: object) -> None:
    assert distribution(domain) == expected


def test_a_suggested_configuration_lies_where_the_trial_drew_it(space_of: SpaceOf) -> None:
    space = space_of(WIDE)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    models = set()
    for _ in range(60):
        trial = study.ask()
        configuration = suggest(space, trial)
        models.add(configuration.model.name)
        found = place(space, configuration)
        assert found is not None
        assert found.values == trial.params
        assert found.distributions == trial.distributions
    assert models == {"tower", "closed", "tiny"}


def test_names_are_dotted_and_conditional(space_of: SpaceOf) -> None:
    space = space_of("model: tower")
    full = Configuration(
        Chosen("tower", {"width": 8, "rate": 0.1, "loss": "full"}),
        *(Chosen(name) for name in ("full", "whole", "none")),
    )
    found = place(space, full)
    assert found is not None
    assert sorted(found.values) == ["model.tower.loss", "model.tower.rate", "model.tower.width"]


@pytest.mark.parametrize(
    "model",
    [
        Chosen("plain"),
        Chosen("tiny", {"size": 4}),
        Chosen("tiny", {}),
        Chosen("closed", {"ridge": 250.0, "other": 1}),
    ],
)
def test_a_configuration_outside_the_space_has_no_place(space_of: SpaceOf, model: Chosen) -> None:
    space = space_of("model: [closed, tiny]\nsparsity: [none, magnitude]")
    rest = {"rank": Chosen("whole"), "sparsity": Chosen("none")} if model.name == "closed" else {}
    assert place(space, Configuration(model, **rest)) is None


def test_a_listed_value_keeps_its_type(space_of: SpaceOf) -> None:
    space = space_of("model: {tower: {width: [4, 8], rate: 0.1, loss: bce, negatives: 1}}")
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    width = suggest(space, trial).model.hyperparameters["width"]
    assert type(width) is int
    assert width in (4, 8)
