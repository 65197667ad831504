"""The nearest of sparse similarities, computed some rows at a time."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

CHUNK_PRODUCTS = 2**23
"""Products of weights summed at once, which bounds the memory to some 400 MB."""

IntArray = npt.NDArray[np.int64]


def owners_of(matrix: sp.csr_matrix) -> IntArray:
    """(E,) the row of every entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def chunks(columns: sp.csr_matrix, users: sp.csr_matrix) -> Iterator[tuple[int, int]]:
    """Ranges of items whose products with all users' items are not too many at once."""
    work = np.bincount(
        owners_of(columns), np.diff(users.indptr)[columns.indices], columns.shape[0]
    ).cumsum()
    cuts = np.flatnonzero(np.diff(work // CHUNK_PRODUCTS)) + 1
    yield from pairwise([0, *cuts.tolist(), columns.shape[0]])


def nearest(rows: sp.csr_matrix, neighbours: int) -> sp.csr_matrix:
    """The largest entries of every row; of equal ones the first by column."""
    kept, _ = largest(rows, neighbours)
    owners = owners_of(rows)[kept]
    return sp.csr_matrix((rows.data[kept], (owners, rows.indices[kept])), rows.shape)


def largest(rows: sp.csr_matrix, count: int) -> tuple[IntArray, IntArray]:
    """The places of each row's largest entries, in order, and their ranks in the row.

    Of equal entries the first by column counts, in whatever order they are stored.
    """
    values, owners = rows.data, owners_of(rows)
    # A partition of each row leaves few values to be sorted: a tenth of the time.
    least = np.array([_least(values[a:b], count) for a, b in pairwise(rows.indptr.tolist())])
    some = np.flatnonzero(values >= least[owners])
    ordered = some[np.lexsort((rows.indices[some], -values[some], owners[some]))]
    starts = np.searchsorted(owners[ordered], np.arange(rows.shape[0]))
    ranks = np.arange(len(ordered)) - starts[owners[ordered]]
    return ordered[ranks < count], ranks[ranks < count]


def _least(values: npt.NDArray[np.floating], count: int) -> float:
    """The smallest of the ``count`` largest values; anything is larger if there are no more."""
    return float(np.partition(values, -count)[-count]) if len(values) > count else -np.inf
