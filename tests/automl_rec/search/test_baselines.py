"""What every study starts with."""

from collections.abc import Callable

from automl_rec.registry import Registry
from automl_rec.search.baselines import baselines, references
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space

SpaceOf = Callable[[str], Space]
PLAIN = Configuration(Chosen("plain"))


def closed(sparsity: Chosen) -> Configuration:
    return Configuration(
        Chosen("closed", {"ridge": 250.0}), rank=Chosen("whole"), sparsity=sparsity
    )


def test_a_baseline_without_hyperparameters_runs_in_every_study(
    space_of: SpaceOf, made_up: Registry
) -> None:
    assert baselines(space_of("model: tower"), made_up) == [PLAIN]
    assert references(made_up) == {"plain"}


def test_it_is_not_run_twice_where_the_space_lists_it(space_of: SpaceOf, made_up: Registry) -> None:
    assert baselines(space_of("model: [plain, tower]"), made_up) == [PLAIN]


def test_others_run_at_their_defaults_then_with_every_sparsity(
    space_of: SpaceOf, made_up: Registry
) -> None:
    space = space_of("model: [tower, closed]\nsparsity: [none, magnitude, moving]")
    assert baselines(space, made_up) == [
        PLAIN,
        closed(Chosen("none")),
        closed(Chosen("magnitude", {"density": 0.1})),
        closed(Chosen("moving")),
    ]


def test_defaults_stay_inside_a_narrowed_space(space_of: SpaceOf, made_up: Registry) -> None:
    space = space_of("model: {closed: {ridge: {float: [500, 1000]}}}")
    found = baselines(space, made_up)[1].model.hyperparameters["ridge"]
    assert 500 <= float(found) <= 1000


def test_a_sparsity_that_the_only_rank_excludes_is_left_out(
    space_of: SpaceOf, made_up: Registry
) -> None:
    space = space_of("model: [closed, tower]\nrank: svd\nsparsity: [none, magnitude]")
    names = [c.sparsity.name for c in baselines(space, made_up) if c.sparsity]
    assert names == ["none", "magnitude"]
