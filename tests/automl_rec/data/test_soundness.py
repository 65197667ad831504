"""Stored arrays that cannot be what they are said to be are refused."""

import numpy as np
import pytest

from automl_rec.data.soundness import require_counts, require_feature, require_histories
from automl_rec.plugin import Feature, Histories


def histories(indptr: list[int], items: list[int], times: list[float] | None = None) -> Histories:
    made = None if times is None else np.array(times)
    return Histories(np.array(indptr, np.int64), np.array(items, np.int32), made)


def categorical(values: list[int], cardinality: int, kind: str = "categorical") -> Feature:
    return Feature(kind, np.array(values, np.int32), cardinality)


def multi(indptr: list[int], values: list[int], cardinality: int) -> Feature:
    return Feature("multi", np.array(values, np.int32), cardinality, np.array(indptr, np.int64))


def test_sound_arrays_pass() -> None:
    require_histories(histories([0, 2, 2, 3], [4, 0, 4], [1.0, 2.0, 0.0]), 5, "train")
    require_histories(histories([0], []), 0, "train")
    require_feature(categorical([0, -1, 1], 2), 3, "group")
    require_feature(multi([0, 2, 2], [0, 1], 2), 2, "tags")
    require_feature(Feature("numeric", np.array([np.nan, 1], np.float32)), 2, "size")
    require_feature(Feature("vector", np.zeros((2, 3), np.float32), 3), 2, "place")
    require_counts(categorical([], 2), np.array([3, 0]), "group")
    require_counts(Feature("numeric", np.empty(0, np.float32)), None, "price")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (histories([0, 1], [5]), "train must lie from 0 to 4, got 5, 5"),
        (histories([0, 1], [-1]), "train must lie from 0 to 4, got -1, -1"),
        (histories([0, 2, 1, 3], [0, 1, 2]), "the places of train do not divide its values"),
        (histories([1, 3], [0, 1, 2]), "the places of train do not divide"),
        (histories([0, 9], [0, 1, 2]), "the places of train do not divide"),
        (histories([0, 2**63 - 1, -(2**63), 1], [0]), "the places of train do not divide"),
        (histories([], []), "train must be in one row"),
        (histories([0, 1], [0], [1.0, 2.0]), "train has other times"),
        (Histories(np.zeros(1, np.int32), np.empty(0, np.int32)), "the places of train must be"),
        (Histories(np.zeros(1, np.int64), np.empty(0, np.int64)), "the items of train must be"),
    ],
)
def test_histories_that_lead_out_of_their_items_are_refused(made: Histories, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_histories(made, 5, "train")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (categorical([0, 2], 2), "x must lie from -1 to 1, got 0, 2"),
        (categorical([0, 1], 10**12), "x has 1000000000000 different values"),
        (categorical([0, 1], -1), "x has -1 different values"),
        (categorical([0, 1, 1], 2), r"x must have the shape \(2,\), got \(3,\)"),
        (categorical([0, 1], 2, "other"), "x is of no kind that is known"),
        (categorical([0, 1], 2, "multi"), "x is another kind"),
        (categorical([0, 1], 2, "numeric"), "x must be float32"),
        (categorical([0, 1], "two"), "x has no number of values"),  # type: ignore[arg-type]
        (multi([0, 1], [0], 1), "x has other values than 2"),
        (multi([0, 0, 1], [1], 1), "x must lie from -1 to 0, got 1, 1"),
        (Feature("vector", np.zeros((2, 3), np.float32), 4), r"x must have the shape \(2, 4\)"),
        (Feature("categorical", np.zeros(2, np.float32), 1), "x must be int32"),
    ],
)
def test_features_of_other_sizes_or_values_are_refused(made: Feature, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_feature(made, 2, "x")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.array([1, 2, 3]), "x has other values than are counted"),
        (np.array([1, -2]), "x must lie from 0 to"),
        (np.array([1.0, 2.0]), "the counts of x must be int64"),
    ],
)
def test_counts_of_other_values_are_refused(counts: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_counts(categorical([], 2), counts, "x")
