"""The in-memory study: what is told, what is learned."""

import math
import warnings
from collections.abc import Callable

import optuna
import pytest

from automl_rec.errors import Infeasible
from automl_rec.objectives.objective import Objective
from automl_rec.search.samplers import POPULATION, SamplerName, make_sampler
from automl_rec.search.suggestions import Lesson, Suggestions
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space

SpaceOf = Callable[[str], Space]
OBJECTIVES = (
    Objective("ndcg@10", "maximize", ""),
    Objective("bytes", "minimize", "B", bound=100.0, priced=True),
)
NARROW = "model: {tower: {width: 8, loss: full}}"


def suggestions(space: Space, sampler: SamplerName = "tpe", seed: int = 0) -> Suggestions:
    return Suggestions(space, OBJECTIVES, make_sampler(sampler, seed))


def rate(configuration: Configuration) -> float:
    return float(configuration.model.hyperparameters["rate"])


def tower(value: float) -> Configuration:
    return Configuration(
        Chosen("tower", {"width": 8, "rate": value, "loss": "full"}),
        *(Chosen(name) for name in ("full", "whole", "none")),
    )


def quality(value: float) -> Lesson:
    """Best where the rate is 0.01."""
    return Lesson({"ndcg@10": 1 - abs(math.log10(value) + 2), "bytes": 50.0}, {"bytes": -50.0})


@pytest.mark.parametrize("asked", [True, False])
def test_tpe_follows_what_it_was_told(space_of: SpaceOf, *, asked: bool) -> None:
    found = suggestions(space_of(NARROW))
    for step in range(60):
        if asked:
            suggestion = found.ask()
            found.tell(suggestion, quality(rate(suggestion.configuration)))
        else:
            value = 10 ** (-3 + 3 * step / 59)
            found.learn(tower(value), quality(value))
    drawn = []
    for _ in range(20):
        suggestion = found.ask()
        drawn.append(rate(suggestion.configuration))
        found.tell(suggestion, quality(drawn[-1]))
    # A third of the scale, drawn two times in three.
    assert sum(0.003 < value < 0.03 for value in drawn) >= 14


def test_what_breaks_a_bound_is_avoided(space_of: SpaceOf) -> None:
    found = suggestions(space_of(NARROW))
    for step in range(60):
        value = 10 ** (-3 + 3 * step / 59)
        refused = value > 0.03
        lesson = Lesson(None, {"bytes": 900.0}) if refused else quality(value)
        found.learn(tower(value), lesson)
    drawn = [rate(found.ask().configuration) for _ in range(20)]
    assert sum(value > 0.03 for value in drawn) <= 4


def test_costs_are_told_as_logarithms_and_states_as_they_are(space_of: SpaceOf) -> None:
    found = suggestions(space_of(NARROW))
    found.learn(tower(0.1), Lesson({"ndcg@10": 0.25, "bytes": 1000.0}, {"bytes": 900.0}))
    found.learn(tower(0.2), Lesson(None, {"bytes": 5.0}))
    one, other = found._study.trials
    assert one.values == [0.25, pytest.approx(math.log(1000))]
    assert dict(one.constraints) == {"bytes": 900.0}
    assert other.state == optuna.trial.TrialState.PRUNED
    assert dict(other.constraints) == {"bytes": 5.0}


def test_a_configuration_outside_the_space_is_left_out(space_of: SpaceOf) -> None:
    found = suggestions(space_of(NARROW))
    found.learn(Configuration(Chosen("plain")), quality(0.1))
    assert found._study.trials == []


def test_nsga2_goes_on_with_its_generations_after_a_restart(space_of: SpaceOf) -> None:
    found = suggestions(space_of(NARROW), "nsga2", seed=1)
    for step in range(3 * POPULATION):
        value = 10 ** (-3 + 3 * (step * 7 % 60) / 59)
        found.learn(tower(value), quality(value))
    key = "NSGAIISampler:generation"
    generations = [trial.system_attrs[key] for trial in found._study.trials]
    assert generations == [number for number in range(3) for _ in range(POPULATION)]
    found.ask()
    assert found._study.trials[-1].system_attrs[key] == 3


def test_pairs_that_exclude_each_other_are_drawn_again(space_of: SpaceOf) -> None:
    space = space_of("model: tower\nrank: [whole, svd]\nsparsity: [none, magnitude, moving]")
    found = suggestions(space, "random")
    for _ in range(40):
        configuration = found.ask().configuration
        assert configuration.rank is not None
        assert configuration.sparsity is not None
        assert (configuration.rank.name, configuration.sparsity.name) != ("svd", "moving")


def test_a_sampler_that_only_draws_the_impossible_gives_up(space_of: SpaceOf) -> None:
    space = space_of("model: tower\nrank: [whole, svd]\nsparsity: [none, magnitude, moving]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.PartialFixedSampler(
            {"rank": "svd", "sparsity": "moving"}, make_sampler("random", 0)
        )
    with pytest.raises(Infeasible, match="its bases rotate"):
        Suggestions(space, OBJECTIVES, sampler).ask()
