"""What every study starts with."""

from collections.abc import Callable

import pytest

from automl_rec.registry import Registry
from automl_rec.search.baselines import baselines, published
from automl_rec.search.references import References
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space

SpaceOf = Callable[[str], Space]
PLAIN = Configuration(Chosen("plain"))

STEP = 10**-0.4


def anything(_configuration: Configuration) -> bool:
    return True


def closed(sparsity: Chosen) -> Configuration:
    return Configuration(
        Chosen("closed", {"ridge": 250.0}), rank=Chosen("whole"), sparsity=sparsity
    )


def test_a_baseline_without_hyperparameters_runs_in_every_study(
    space_of: SpaceOf, made_up: Registry
) -> None:
    assert baselines(space_of("model: tower"), made_up, anything) == [PLAIN]
    assert References.of(made_up, "retrieval") == References(frozenset({"plain"}))


def test_it_is_not_run_twice_where_the_space_lists_it(space_of: SpaceOf, made_up: Registry) -> None:
    assert baselines(space_of("model: [plain, tower]"), made_up, anything) == [PLAIN]


def test_others_run_at_their_defaults_then_with_every_sparsity(
    space_of: SpaceOf, made_up: Registry
) -> None:
    space = space_of("model: [tower, closed]\nsparsity: [none, magnitude, moving]")
    first = [
        PLAIN,
        closed(Chosen("none")),
        closed(Chosen("magnitude", {"density": 0.1})),
        closed(Chosen("moving")),
    ]
    smaller = [closed(Chosen("magnitude", {"density": d})) for d in (STEP**3 / 10, 1e-3)]
    assert baselines(space, made_up, anything) == first + smaller
    # A quarter of the trials has room for none or one of the smaller ones; the first always run.
    assert baselines(space, made_up, anything, 16) == first
    assert baselines(space, made_up, anything, 3) == first
    assert baselines(space, made_up, anything, 20) == first + smaller[:1]


def test_defaults_stay_inside_a_narrowed_space(space_of: SpaceOf, made_up: Registry) -> None:
    space = space_of("model: {closed: {ridge: {float: [500, 1000]}}}")
    found = baselines(space, made_up, anything)[1].model.hyperparameters["ridge"]
    assert 500 <= float(found) <= 1000


def test_a_sparsity_that_the_only_rank_excludes_is_left_out(
    space_of: SpaceOf, made_up: Registry
) -> None:
    space = space_of("model: [closed, tower]\nrank: svd\nsparsity: [none, magnitude]")
    names = [c.sparsity.name for c in baselines(space, made_up, anything, 1) if c.sparsity]
    assert names == ["none", "magnitude"]


def test_a_sparsity_goes_from_where_it_fits_to_its_low_end(
    space_of: SpaceOf, made_up: Registry
) -> None:
    space = space_of("model: closed\nsparsity: [none, magnitude]")

    def density(configuration: Configuration) -> float:
        assert configuration.sparsity is not None
        return float(configuration.sparsity.hyperparameters.get("density", 1.0))

    def pruned(limit: float) -> list[float]:
        found = baselines(space, made_up, lambda c: density(c) <= limit)
        return [density(c) for c in found if c.sparsity and c.sparsity.name == "magnitude"]

    # Five steps of two decades: 0.1, 0.0398, 0.0158, 0.0063, 0.0025, 0.001.
    assert pruned(0.1) == pytest.approx([0.1, 0.1 * STEP**3, 0.001])
    assert pruned(0.02) == pytest.approx([0.1 * STEP**2, 0.1 * STEP**4, 0.001])
    assert pruned(0.001) == pytest.approx([0.001])
    assert pruned(0.0001) == [0.1]


def test_the_other_models_begin_at_their_defaults(space_of: SpaceOf) -> None:
    space = space_of("model: [plain, closed, tower]")
    found = published(space)
    assert found == [space.defaults("tower")]
    assert published(space, 4) == found
    assert published(space, 3) == []
