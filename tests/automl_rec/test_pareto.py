"""The front, its knee and its volume, against slow definitions and Optuna's own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from optuna._hypervolume import compute_hypervolume

from automl_rec import pareto
from automl_rec.objectives import COSTS
from automl_rec.objectives.objective import Measurement, Objective

NDCG = Objective("ndcg@10", "maximize", "")
BYTES = Objective("bytes", "minimize", "B")
SECONDS = Objective("train_seconds", "minimize", "s")
LOGLOSS = Objective("logloss", "minimize", "")
FEW = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
ODD = st.one_of(FEW, st.sampled_from([math.nan, math.inf, -math.inf]))


@dataclass(frozen=True)
class Trial:
    name: str
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    state: Literal["complete", "pruned", "failed"] = "complete"


def trial(name: str, ndcg: float, size: float, **fields: Any) -> Trial:
    return Trial(name, {"ndcg@10": Measurement(ndcg), "bytes": Measurement(size)}, **fields)


def tables(elements: st.SearchStrategy[float]) -> st.SearchStrategy[npt.NDArray[np.float64]]:
    shapes = st.tuples(st.integers(0, 8), st.integers(1, 4))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=elements))


def names(front: pareto.Front[Trial]) -> list[str]:
    return [trial.name for trial in front.trials]


def beats(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    return bool((one <= other).all() and (one < other).any())


@given(tables(ODD))
def test_non_dominated_rows_are_those_that_no_finite_row_beats(
    values: npt.NDArray[np.float64],
) -> None:
    finite = [index for index, row in enumerate(values) if np.isfinite(row).all()]
    expected = [
        index in finite
        and not any(beats(values[other], values[index]) for other in finite)
        and not any((values[other] == values[index]).all() for other in finite if other < index)
        for index in range(len(values))
    ]
    assert pareto.non_dominated(values).tolist() == expected


@given(tables(FEW))
def test_hypervolume_is_optunas(values: npt.NDArray[np.float64]) -> None:
    reference = np.full(values.shape[1], 0.9)
    below = values[(values < reference).all(axis=1)]
    expected = compute_hypervolume(below, reference) if len(below) else 0.0
    assert pareto.hypervolume(values, reference) == pytest.approx(expected, abs=1e-12)


def test_hypervolume_of_two_steps_by_hand() -> None:
    values = np.array([[1.0, 3.0], [2.0, 1.0], [2.0, 2.0], [math.nan, 0.0], [-math.inf, 0.0]])
    assert pareto.hypervolume(values, [4.0, 4.0]) == (4 - 1) * (4 - 3) + (4 - 2) * (3 - 1)


def test_the_front_keeps_order_and_the_first_of_equals() -> None:
    trials = [
        trial("beaten", 0.1, 200),
        trial("large", 0.3, 200),
        trial("equal", 0.3, 200),
        trial("small", 0.2, 50),
        trial("stopped", 0.9, 1, state="pruned"),
        trial("not a number", math.nan, 1),
        trial("endless", math.inf, 1),
        Trial("unmeasured", {"ndcg@10": Measurement(0.9)}),
    ]
    front = pareto.front(trials, [NDCG, BYTES])
    assert names(front) == ["large", "small"]
    assert front.feasible


def test_trials_beyond_a_bound_are_not_on_the_front() -> None:
    bounded = Objective("bytes", "minimize", "B", bound=100)
    trials = [trial("too large", 0.9, 100.5), trial("at the bound", 0.2, 100)]
    assert names(pareto.front(trials, [NDCG, bounded])) == ["at the bound"]


def test_where_no_trial_keeps_the_bounds_those_that_break_them_least_are_the_front() -> None:
    objectives = [
        Objective("ndcg@10", "maximize", "", bound=0.5),
        Objective("bytes", "minimize", "B", bound=100),
        SECONDS,
    ]

    def measured(name: str, ndcg: float, size: float, seconds: float) -> Trial:
        values = zip(("ndcg@10", "bytes", "train_seconds"), (ndcg, size, seconds), strict=True)
        return Trial(name, {axis: Measurement(value) for axis, value in values})

    trials = [
        measured("half too large and a fifth too poor", 0.4, 150, 1),
        measured("half too large", 0.5, 150, 9),
        measured("half too poor, slower", 0.25, 100, 10),
        measured("half too poor", 0.25, 100, 9),
        measured("half too large again, but beaten", 0.5, 150, 10),
    ]
    front = pareto.front(trials, objectives)
    assert names(front) == ["half too large", "half too poor"]
    assert not front.feasible


def test_a_study_without_trials_has_an_empty_front() -> None:
    front = pareto.front([trial("failed", 0.5, 1, state="failed")], [NDCG, BYTES])
    assert front == pareto.Front((), feasible=True)
    assert pareto.hypervolume_of([], [NDCG, BYTES]) == 0


def test_costs_are_placed_by_orders_of_magnitude() -> None:
    objectives = [NDCG, Objective("bytes", "minimize", "B", bound=1e8), SECONDS]

    def at(ndcg: float, size: float, seconds: float) -> Trial:
        values = {"ndcg@10": ndcg, "bytes": size, "train_seconds": seconds}
        return Trial("", {name: Measurement(value) for name, value in values.items()})

    trials = [at(0.25, 1e4, 1e3), at(1.0, 1.0, 0.0), at(0.0, 1e8, 1e6), at(0.5, 1.1e8, 1.0)]
    expected = np.array([[0.75, 4 / 8, 6 / 9], [0, 0, 0], [1, 1, 1], [math.nan] * 3])
    np.testing.assert_allclose(pareto.scaled(trials, objectives), expected, rtol=1e-12)


def test_logloss_is_placed_by_the_probability_given_to_what_came() -> None:
    losses = [0.0, math.log(2), math.log(4), 800.0]
    trials = [Trial("", {"logloss": Measurement(loss)}) for loss in losses]
    places = pareto.scaled(trials, [LOGLOSS])
    np.testing.assert_allclose(places[:, 0], [0, 1 / 2, 3 / 4, 1], rtol=1e-12)


@pytest.mark.parametrize("bound", [0.0, 0.5])
def test_a_bound_below_the_scale_leaves_no_volume(bound: float) -> None:
    objectives = [NDCG, Objective("bytes", "minimize", "B", bound=bound)]
    assert pareto.hypervolume_of([trial("empty", 0.5, 0)], objectives) == 0


def test_every_cost_has_a_scale() -> None:
    assert {objective.unit for objective in COSTS.values()} == set(pareto.DECADES)


def test_hypervolume_of_one_trial_is_quality_times_the_decades_saved() -> None:
    found = pareto.hypervolume_of([trial("", 0.3, 1e3)], [NDCG, BYTES])
    assert found == pytest.approx(0.3 * (12 - 3) / 12)


@given(
    st.lists(
        st.builds(
            trial,
            st.just(""),
            st.sampled_from([0.0, 0.1, 0.2, 0.5, math.nan]),
            st.sampled_from([1.0, 1e3, 1e6, 1e9, 1e13]),
        ),
        max_size=12,
    )
)
def test_hypervolume_over_time_is_that_of_each_prefix(trials: list[Trial]) -> None:
    objectives = [NDCG, Objective("bytes", "minimize", "B", bound=1e8)]
    history = pareto.hypervolumes(trials, objectives)
    prefixes = [pareto.hypervolume_of(trials[: end + 1], objectives) for end in range(len(trials))]
    assert history.tolist() == pytest.approx(prefixes, abs=1e-12)


def test_the_knee_lies_farthest_from_the_line_between_the_ends() -> None:
    values = np.array([[0.0, 10.0], [1.0, 4.0], [2.0, 2.5], [6.0, 1.0], [10.0, 0.0]])
    start, end = values[0], values[-1]
    along = (end - start) / np.linalg.norm(end - start)
    away = (values - start) - np.outer((values - start) @ along, along)
    assert pareto.knee(values) == np.linalg.norm(away, axis=1).argmax() == 2


@given(st.floats(0.01, 100), st.floats(-5, 5), st.floats(0.01, 100), st.floats(-5, 5))
def test_the_knee_does_not_depend_on_units(a: float, b: float, c: float, d: float) -> None:
    values = np.array([[0.0, 10.0], [1.0, 4.0], [2.0, 2.5], [6.0, 1.0], [10.0, 0.0]])
    assert pareto.knee(values * [a, c] + [b, d]) == 2


def test_the_knee_of_three_axes_lies_below_the_plane_through_their_ends() -> None:
    values = np.vstack([np.eye(3), [[0.3, 0.3, 0.3]], [[0.1, 0.1, 0.9]]])
    assert pareto.knee(values) == 3


def test_the_knee_of_one_trial_is_that_trial() -> None:
    assert pareto.knee(np.array([[0.5, 3.0]])) == 0


def test_best_under_a_bound_is_the_best_quality_that_keeps_it() -> None:
    trials = [
        trial("small", 0.1, 10),
        trial("at the bound, larger", 0.2, 100),
        trial("at the bound", 0.2, 90),
        trial("the same again", 0.2, 90),
        trial("too large", 0.9, 101),
        trial("stopped", 0.9, 10, state="pruned"),
    ]
    objectives = [BYTES, NDCG]
    best = pareto.best_under(trials, objectives, "bytes", 100)
    assert best is trials[2]
    assert pareto.best_under(trials, objectives, "bytes", 5) is None


def test_best_under_a_bound_is_of_least_logloss_where_that_is_the_quality() -> None:
    trials = [
        Trial("", {"logloss": Measurement(loss), "bytes": Measurement(size)})
        for loss, size in [(0.5, 10), (0.3, 100), (0.1, 101)]
    ]
    assert pareto.best_under(trials, [BYTES, LOGLOSS], "bytes", 100) is trials[1]


def test_best_under_a_floor_of_quality_keeps_it() -> None:
    trials = [trial("poor", 0.1, 10), trial("good", 0.3, 100)]
    assert pareto.best_under(trials, [NDCG, BYTES], "ndcg@10", 0.2) is trials[1]
    assert pareto.best_under(trials, [NDCG, BYTES], "ndcg@10", 0.4) is None


def test_the_front_of_many_trials_is_what_no_other_beats() -> None:
    drawn = np.random.default_rng(3).random((200, 2))
    trials = [trial(str(i), q, s) for i, (q, s) in enumerate(drawn)]
    mask = pareto.non_dominated(drawn * [-1, 1])
    assert names(pareto.front(trials, [NDCG, BYTES])) == [str(i) for i in np.flatnonzero(mask)]
