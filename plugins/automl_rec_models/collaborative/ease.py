"""EASE: the item-item matrix that predicts every item from the others, in closed form."""

import numpy as np
import numpy.typing as npt
import psutil
import scipy.sparse as sp
import torch
from scipy.linalg import cholesky, lapack, solve_triangular
from torch import Tensor

from automl_rec.plugin import Catalog, ClosedFormModel, Infeasible, Layers, Requests
from automl_rec_models.collaborative.distinct import distinct

Square = npt.NDArray[np.float64]

BYTES_A_PAIR = 8 + 8 + 4 + 4
"""Memory a pair of items takes: co-occurrence and its inverse, the weight and its stored copy."""

BYTES_A_PAIR_BY_USERS = 4 + 4 + 4
"""The same where there are fewer users than items: values, the weight and its stored copy."""

BYTES_A_CELL_BY_USERS = 8 + 4 + 8 + 8 + 4 + 4
"""Memory a user and an item take beside that: the kernel, and the steps to both factors."""

BLOCK = 1024


class Ease(ClosedFormModel):
    """Scores X B, where B minimises |X - X B|^2 + regularization |B|^2 with a zero diagonal.

    Source: Steck, WWW 2019, equation 8. Ours inverts by Cholesky in float64. Where users are fewer
    than items it inverts the (U, U) matrix K = X X' + lambda I instead: by the identity of Woodbury
    B_ij = A_ij / (1 - A_jj) with A = X' K^-1 X.

    Args:
        catalog: sizes and the binary train matrix X (U, I).
        layers: where the item-item weight B comes from.
        regularization: lambda, in squared interactions.
    """

    def __init__(self, catalog: Catalog, layers: Layers, *, regularization: float) -> None:
        super().__init__()
        _refuse_beyond_memory(catalog)
        self.regularization = regularization
        self.item_item = layers.item_item("item_item")

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        if catalog.num_users < catalog.num_items:
            values = _by_users(catalog.matrix, self.regularization)
        else:
            values = _regression(_inverse(catalog.co_occurrence, self.regularization))
        self.item_item.assign(torch.from_numpy(values))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        known = distinct(requests, self.item_item.rows)
        return self.item_item.matrix.bag(known.indptr, known.items)


def _refuse_beyond_memory(catalog: Catalog) -> None:
    # Pricing and loading build on the meta device, where the matrix takes no memory.
    if torch.get_default_device().type == "meta":
        return
    items, free = catalog.num_items, psutil.virtual_memory().available
    needed = _needed_bytes(catalog.num_users, items)
    if needed > free:
        raise Infeasible(
            f"ease needs {needed / 1e9:,.1f} GB of memory for {items:,} items, "
            f"but {free / 1e9:,.1f} GB are free. "
            f"Filter rare items with a k-core, or leave ease out of the space."
        )


def _needed_bytes(users: int, items: int) -> int:
    if users < items:
        return BYTES_A_PAIR_BY_USERS * items**2 + BYTES_A_CELL_BY_USERS * users * items
    return BYTES_A_PAIR * items**2


def _by_users(matrix: sp.csr_matrix, regularization: float) -> npt.NDArray[np.float32]:
    """B (I, I) from the train matrix (U, I) by way of a (U, U) inverse."""
    kernel = (matrix @ matrix.T).toarray().astype(np.float64)
    kernel[np.diag_indices_from(kernel)] += regularization
    factor = cholesky(kernel, lower=True, overwrite_a=True)
    half = solve_triangular(factor, matrix.toarray().astype(np.float64), lower=True)
    remainder = 1.0 - np.einsum("ui,ui->i", half, half)
    scaled = (half / remainder).astype(np.float32)
    values: npt.NDArray[np.float32] = half.astype(np.float32).T @ scaled
    np.fill_diagonal(values, 0.0)
    return values


def _inverse(co_occurrence: Square, regularization: float) -> Square:
    """The upper triangle of (G + regularization I)^-1 (I, I); what lies below is no part of it."""
    work = co_occurrence.copy()
    work[np.diag_indices_from(work)] += regularization
    # LAPACK counts in columns: the transposed view is worked on in place, without a copy.
    factor, failed = lapack.dpotrf(work.T, lower=1, clean=0, overwrite_a=1)
    assert failed == 0, "a Gram matrix plus a positive diagonal is positive definite"
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    return np.asarray(inverse.T)


def _regression(upper: Square) -> npt.NDArray[np.float32]:
    """B (I, I) from the upper triangle of P (I, I): -P_ij / P_jj, diagonal 0."""
    _mirror(upper)
    values = np.empty(upper.shape, np.float32)
    np.divide(upper, -upper.diagonal(), out=values, casting="same_kind")
    np.fill_diagonal(values, 0.0)
    return values


def _mirror(upper: Square) -> None:
    """Copies the upper triangle of a matrix to its lower one, block by block for the cache."""
    for start in range(0, len(upper), BLOCK):
        stop = start + BLOCK
        upper[stop:, start:stop] = upper[start:stop, stop:].T
        corner = upper[start:stop, start:stop]
        corner[...] = np.triu(corner) + np.triu(corner, 1).T
