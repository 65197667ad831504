"""Which objectives a space may ask for."""

import math
import re

import pytest

from automl_rec.errors import SpaceError
from automl_rec.objectives import coldness, cutoff, is_quality, named, resolve, task_of
from automl_rec.objectives.objective import Direction, Task
from automl_rec.space.space import ObjectiveRequest


def asked(name: str, direction: Direction | None, bound: float | None) -> ObjectiveRequest:
    return ObjectiveRequest(name, direction, bound, "space.yaml:3")


def test_a_request_takes_direction_and_unit_from_its_objective() -> None:
    quality, cost = resolve([asked("recall@5", None, 0.2), asked("bytes", "minimize", 4e6)])
    assert (quality.direction, quality.unit, quality.bound) == ("maximize", "", 0.2)
    assert (cost.direction, cost.unit, cost.bound) == ("minimize", "B", 4e6)
    assert cost.violation(5e6) == 1e6


@pytest.mark.parametrize("bound", [-0.1, 1.01, 30.0, math.nan])
def test_bound_that_no_quality_can_have_is_refused(bound: float) -> None:
    with pytest.raises(SpaceError, match=r"yaml:3: the bound of ndcg@10 must be from 0 to 1, got"):
        resolve([asked("ndcg@10", "maximize", bound)])


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_ends_of_the_qualities_are_bounds(bound: float) -> None:
    assert resolve([asked("ndcg@10", "maximize", bound)])[0].bound == bound


def test_logloss_is_a_quality_to_be_minimised_without_an_upper_bound() -> None:
    (quality,) = resolve([asked("logloss", None, 1.5)], "ranking")
    assert (quality.direction, quality.bound) == ("minimize", 1.5)
    assert quality.violation(2.0) == 0.5
    assert quality.upward(2.0) == -2.0
    with pytest.raises(SpaceError, match=r"the bound of logloss must be 0 or more, got -1\."):
        resolve([asked("logloss", None, -1)], "ranking")
    with pytest.raises(SpaceError, match=r"logloss can only be minimized, got maximize"):
        resolve([asked("logloss", "maximize", None)], "ranking")


@pytest.mark.parametrize(
    ("name", "task"),
    [("auc", "ranking"), ("gauc", "ranking"), ("ndcg@3", "retrieval"), ("bytes", None)],
)
def test_qualities_know_their_task_and_costs_have_none(name: str, task: Task | None) -> None:
    assert task_of(name) == task
    assert is_quality(name) is (task is not None)


def test_bound_below_every_cost_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"the bound of bytes must be 0 or more, got -4\."):
        resolve([asked("ndcg@10", None, None), asked("bytes", "minimize", -4)])


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "auc",
            "retrieval",
            (
                "auc needs data of the task ranking, got data.task retrieval. Name one of ndcg@10, "
                "recall@10, hit@10, mrr@10, map@10, coverage@10, or write data.task: ranking."
            ),
        ),
        (
            "ndcg@5",
            "ranking",
            (
                "ndcg@5 needs data of the task retrieval, got data.task ranking. Name one of auc, "
                "gauc, logloss, or write data.task: retrieval."
            ),
        ),
    ],
)
def test_a_quality_of_another_task_is_refused(name: str, task: Task, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        resolve([asked(name, None, None)], task)


@pytest.mark.parametrize("task", ["retrieval", "ranking"])
def test_costs_belong_to_every_task_but_suffice_for_none(task: Task) -> None:
    with pytest.raises(SpaceError, match="must name at least one quality, got bytes"):
        resolve([asked("bytes", None, None)], task)
    quality = {"retrieval": "map@3", "ranking": "logloss"}[task]
    assert [o.name for o in resolve([asked("bytes", None, None), asked(quality, None, None)], task)]


def test_a_quality_of_cold_items_names_the_events_below_which_they_are_cold() -> None:
    assert cutoff("ndcg@10/cold") == ("ndcg", 10)
    assert coldness("ndcg@10/cold") == 10
    assert coldness("map@5/cold3") == 3
    assert coldness("ndcg@10") is coldness("bytes") is None
    (objective,) = resolve([asked("recall@20/cold5", None, 0.2)])
    assert (objective.name, objective.direction) == ("recall@20/cold5", "maximize")


@pytest.mark.parametrize("name", ["coverage@10/cold", "ndcg@10/cold0", "ndcg@10/", "auc/cold"])
def test_other_suffixes_name_no_objective(name: str) -> None:
    assert [named(name), cutoff(name), coldness(name)] == [None, None, None]


def test_a_bound_on_the_wrong_side_is_shown_and_turned_round() -> None:
    with pytest.raises(SpaceError) as caught:
        resolve([asked("logloss", "maximize", 0.6)], "ranking")
    assert str(caught.value) == (
        "space.yaml:3: logloss can only be minimized, got {min: 0.6}. Write logloss: {max: 0.6}."
    )


@pytest.mark.parametrize("name", ["auc@10", "auc/cold"])
def test_a_quality_of_rows_has_no_length_and_is_suggested_without(name: str) -> None:
    with pytest.raises(SpaceError, match=r'Did you mean "auc"\?$'):
        resolve([asked(name, None, None)], "ranking")
