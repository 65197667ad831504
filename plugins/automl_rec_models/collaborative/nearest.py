"""The nearest of sparse similarities, computed some rows at a time."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

CHUNK_PRODUCTS = 2**23
"""Products of weights summed at once, which bounds the memory to some 400 MB."""


def owners_of(matrix: sp.csr_matrix) -> npt.NDArray[np.int64]:
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
    """The largest entries of every row; of equal ones the first."""
    owners = owners_of(rows)
    order = np.lexsort((-rows.data, owners))
    kept = order[np.arange(rows.nnz) - rows.indptr[owners] < neighbours]
    return sp.csr_matrix((rows.data[kept], (owners[kept], rows.indices[kept])), rows.shape)
