"""Whether stored arrays can be what they are said to be: nothing may index outside of another."""

from typing import Any

import numpy as np
import numpy.typing as npt

from automl_rec.plugin.catalog import Feature, Histories, IntArray

_Array = npt.NDArray[Any]


def require_histories(histories: Histories, num_items: int, name: str) -> None:
    """Refuses histories that do not divide their items among users, or hold other items.

    Raises:
        ValueError: saying what is wrong with them.
    """
    _require(histories.items.dtype == np.int32, f"the items of {name} must be int32")
    _require_divided(histories.indptr, histories.items, name)
    _require_between(histories.items, 0, num_items - 1, name)
    if histories.times is not None:
        _require(histories.times.shape == histories.items.shape, f"{name} has other times")


def require_feature(feature: Feature, number: int, name: str) -> None:
    """Refuses a feature that has not a value for each of so many users or items.

    Raises:
        ValueError: saying what is wrong with it.
    """
    values, cardinality = feature.values, feature.cardinality
    _require(isinstance(cardinality, int), f"{name} has no number of values")
    _require((feature.indptr is not None) == (feature.kind == "multi"), f"{name} is another kind")
    match feature.kind:
        case "categorical" | "multi":
            _require(values.dtype == np.int32, f"{name} must be int32")
            # Every value is somebody's, so there are at most as many as places that hold one.
            _require(0 <= cardinality <= values.size, f"{name} has {cardinality} different values")
            _require_between(values, -1, cardinality - 1, name)
        case "numeric" | "vector":
            _require(values.dtype == np.float32, f"{name} must be float32")
        case _:
            raise ValueError(f"{name} is of no kind that is known")
    if feature.indptr is not None:
        _require_divided(feature.indptr, values, name)
        _require(len(feature.indptr) == number + 1, f"{name} has other values than {number}")
    else:
        shape = (number, cardinality) if feature.kind == "vector" else (number,)
        _require(values.shape == shape, f"{name} must have the shape {shape}, got {values.shape}")


def require_counts(feature: Feature, counts: IntArray | None, name: str) -> None:
    """Refuses counts of other values than a field has.

    Raises:
        ValueError: saying what is wrong with them.
    """
    if feature.kind == "numeric":
        return
    _require(feature.kind in {"categorical", "multi"}, f"{name} is of no kind that is known")
    assert counts is not None, "fields of ids are counted"
    _require(counts.dtype == np.int64, f"the counts of {name} must be int64")
    _require(counts.shape == (feature.cardinality,), f"{name} has other values than are counted")
    _require_between(counts, 0, np.iinfo(np.int64).max, name)


def _require_divided(indptr: _Array, values: _Array, name: str) -> None:
    """``indptr`` must lead from 0 to the number of values and never back."""
    _require(indptr.dtype == np.int64, f"the places of {name} must be int64")
    _require(indptr.ndim == values.ndim == 1 and len(indptr) > 0, f"{name} must be in one row")
    whole = indptr[0] == 0 and indptr[-1] == len(values) and (indptr[1:] >= indptr[:-1]).all()
    _require(whole, f"the places of {name} do not divide its values")


def _require_between(values: _Array, low: int, high: int, name: str) -> None:
    if values.size and not (values.min() >= low and values.max() <= high):
        raise ValueError(
            f"{name} must lie from {low} to {high}, got {values.min()}, {values.max()}"
        )


def _require(holds: object, required: str) -> None:
    if not holds:
        raise ValueError(required)
