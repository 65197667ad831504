"""Contents: one vector an item from everything that is known of it."""

from typing import TYPE_CHECKING

import numpy as np

from automl_rec_embeddings.graphs import SEVERAL, incidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from automl_rec.plugin import Feature

WIDEST = 64
"""Columns of a feature with more values than that: each value is a random direction."""
SEED = 0


def contents(features: "Mapping[str, Feature]") -> "npt.NDArray[np.float32]":
    """(I, W) the features of every item side by side, zeros where they are unknown.

    Every feature weighs the same: the mean square length of its known parts is 1. Numbers are
    centred, values of an item's list have equal shares.

    Args:
        features: at least one.
    """
    blocks = [_scaled(_block(features[name])) for name in sorted(features)]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def _block(feature: "Feature") -> "npt.NDArray[np.float64]":
    if feature.kind in SEVERAL:
        return _directions(feature)
    values = np.asarray(feature.values, np.float64)
    if feature.kind == "vector":
        return values
    known = np.isfinite(values)
    mean = values[known].mean() if known.any() else 0.0
    return np.where(known, values - mean, 0.0)[:, None]


def _directions(feature: "Feature") -> "npt.NDArray[np.float64]":
    """(I, min(V, WIDEST)) the mean direction of an item's values."""
    met, values = incidence(feature).astype(np.float64), feature.cardinality
    directions = np.identity(values)
    if values > WIDEST:
        drawn = np.random.default_rng(SEED).standard_normal((values, WIDEST))
        directions = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    lengths = np.asarray(met.sum(axis=1)).reshape(-1, 1)
    return np.asarray(met @ directions) / np.maximum(lengths, 1.0)


def _scaled(block: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
    squares = np.square(block).sum(1)
    known = squares > 0
    return block / np.sqrt(squares[known].mean()) if known.any() else block
