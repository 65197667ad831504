"""Which features two views of an item hide from each other."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Feature

BINS = 10
"""Numbers are counted by tenths of their distribution."""

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def random_half(features: int) -> Tensor:
    """(k,) bool, half of the features, rounded down; drawn from torch's global generator."""
    return torch.randperm(features) < features // 2


def related_half(information: Tensor) -> Tensor:
    """(k,) bool, a feature drawn from torch's global generator with those it shares most with.

    Beside the one drawn, half of the features, rounded down, but never all of them.

    Args:
        information: (k, k) mutual information of the features.
    """
    features = len(information)
    drawn = int(torch.randint(features, ()))
    shared = information[drawn].clone()
    shared[drawn] = torch.inf
    partners = min(features // 2, features - 2)
    masked = torch.zeros(features, dtype=torch.bool)
    masked[shared.topk(1 + partners).indices] = True
    return masked


def mutual_information(memberships: Iterable[sp.csr_matrix]) -> Tensor:
    """(k, k) float64 nats that a value of one feature tells of a value of another.

    Args:
        memberships: of each feature (N, V), see `membership`.
    """
    found = list(memberships)
    pairs = [[_information(first, second) for second in found] for first in found]
    return torch.tensor(pairs, dtype=torch.float64, device="cpu")


def membership(feature: Feature | None, kept: BoolArray) -> sp.csr_matrix:
    """The values of items as a distribution each: (N', V), rows sum to 1.

    An item of several values draws one of them uniformly; unknown is a value like others.

    Args:
        feature: of the items, or None for their ids.
        kept: (N,) which items count.
    """
    items = np.flatnonzero(kept)
    if feature is None:
        return sp.identity(len(items), format="csr")
    if feature.kind == "multi":
        return _several(feature, items)
    codes = np.asarray(feature.values)[items]
    if feature.kind == "vector":
        codes = _main_direction(codes.astype(np.float64))
    if feature.kind != "categorical":
        codes = _tenths(codes.astype(np.float64))
    _, columns = np.unique(codes, return_inverse=True)
    return _rows(np.arange(len(items) + 1), columns)


def _several(feature: Feature, items: npt.NDArray[np.int64]) -> sp.csr_matrix:
    assert feature.indptr is not None, "a multi-valued feature has an indptr"
    given = (np.ones(len(feature.values)), np.asarray(feature.values), np.asarray(feature.indptr))
    known = sp.csr_matrix(given, (len(feature.indptr) - 1, feature.cardinality))[items]
    counts = np.diff(known.indptr)
    unknown = sp.csr_matrix((counts == 0).astype(np.float64)[:, None])
    shares = sp.diags(1.0 / np.maximum(counts, 1))
    return sp.csr_matrix(sp.hstack([shares @ known, unknown]))


def _rows(indptr: npt.NDArray[np.integer], columns: npt.NDArray[np.integer]) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(columns)), columns, indptr))


def _main_direction(vectors: FloatArray) -> FloatArray:
    """(N,) places along the direction in which the vectors differ most."""
    centred = vectors - vectors.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ directions[:, -1])


def _tenths(values: FloatArray) -> npt.NDArray[np.int64]:
    """(N,) in which tenth of the known values each lies, `BINS` where it is NaN."""
    known = values[~np.isnan(values)]
    edges = np.quantile(known, np.arange(1, BINS) / BINS) if len(known) else np.zeros(0)
    return np.where(np.isnan(values), BINS, np.searchsorted(edges, values, side="right"))


def _information(first: sp.csr_matrix, second: sp.csr_matrix) -> float:
    items = max(first.shape[0], 1)
    joint = (first.T @ second).tocoo()
    shares = joint.data / items
    ours = np.asarray(first.sum(0)).ravel() / items
    theirs = np.asarray(second.sum(0)).ravel() / items
    return float((shares * np.log(shares / (ours[joint.row] * theirs[joint.col]))).sum())
