"""The graph of items met together, of which each item keeps its strongest neighbours."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

CHUNK_PRODUCTS = 2**23
"""Products of the item-item matrix summed at once, which bounds the memory to some 200 MB."""


class Neighbours(NamedTuple):
    """The neighbours of all items, strongest first.

    Attributes:
        items: (I, K) int64; the item itself where it has fewer than K neighbours.
        weights: (I, K) float32, 0 where an item has fewer.
    """

    items: Tensor
    weights: Tensor


def strongest_neighbours(matrix: sp.csr_matrix, count: int, *, itself: bool) -> Neighbours:
    """The largest ``omega_ij = G_ij / g_i * sqrt((g_i + 1) / (g_j + 1))`` of every item i.

    G = X'X of the binary matrix X and g its row sums, diagonal included. Of equal neighbours the
    first counts.

    Args:
        matrix: X (U, I).
        count: neighbours K an item keeps.
        itself: whether an item may be its own neighbour.
    """
    sums = matrix.T @ np.diff(matrix.indptr).astype(np.float64)  # (I,)
    items = np.repeat(np.arange(matrix.shape[1])[:, None], count, 1)
    weights = np.zeros(items.shape, np.float32)
    columns = matrix.T.tocsr()
    for start, stop in _chunks(sums):
        block = columns[start:stop] @ matrix  # (C, I)
        owners = np.repeat(np.arange(start, stop), np.diff(block.indptr))
        strengths = block.data / np.sqrt(sums[block.indices] + 1)
        if not itself:
            strengths[owners == block.indices] = 0.0
        kept, ranks = _largest(strengths, block.indices, block.indptr, count)
        places = owners[kept], ranks
        items[places] = block.indices[kept]
        weights[places] = strengths[kept] * np.sqrt(sums[places[0]] + 1) / sums[places[0]]
    return Neighbours(torch.from_numpy(items), torch.from_numpy(weights))


def _chunks(work: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Ranges of items whose products with all users' items are not too many at once."""
    cuts = np.flatnonzero(np.diff(work.cumsum() // CHUNK_PRODUCTS)) + 1
    yield from pairwise([0, *cuts.tolist(), len(work)])


def _largest(
    values: npt.NDArray[np.float64],
    columns: npt.NDArray[np.integer],
    indptr: npt.NDArray[np.integer],
    count: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The places of each row's largest positive values, in order, and their ranks in the row."""
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    # A partition of each row leaves few values to be sorted: a tenth of the time.
    least = np.array([_least(values[a:b], count) for a, b in pairwise(indptr.tolist())])
    some = np.flatnonzero((values >= least[rows]) & (values > 0))
    ordered = some[np.lexsort((columns[some], -values[some], rows[some]))]
    starts = np.searchsorted(rows[ordered], np.arange(len(indptr) - 1))
    ranks = np.arange(len(ordered)) - starts[rows[ordered]]
    return ordered[ranks < count], ranks[ranks < count]


def _least(values: npt.NDArray[np.float64], count: int) -> float:
    """The smallest of the ``count`` largest values, 0 where there are no more than these."""
    return float(np.partition(values, -count)[-count]) if len(values) > count else 0.0
