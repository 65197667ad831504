"""Stored values rounded to a precision."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from automl_rec.plugin.form import LARGEST_INTEGER, Precision, cheapest_layout
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.leaves import map_leaves
from automl_rec.plugin.matrices.matrix import Matrix
from automl_rec.plugin.matrices.pattern import PatternMatrix
from automl_rec.plugin.matrices.sparse import BitmapMatrix, CsrMatrix, SparseMatrix, pack
from automl_rec.plugin.matrices.values import stored_as


def quantise(matrix: Matrix, precision: Precision) -> Matrix:
    """The stored matrix with its values rounded to a precision.

    Integers of b bits are symmetric per row: step = largest absolute value / (2^(b-1) - 1), so the
    error of a value is at most half a step. A sparse matrix moves to whatever layout is cheapest
    at the new precision.

    Args:
        matrix: stored (not trainable) matrix in float32.
        precision: ``"fp32"`` returns the matrix itself.
    """
    if precision == "fp32":
        return matrix
    return map_leaves(matrix, lambda leaf: _rounded(leaf, precision))


def _rounded(leaf: Matrix, precision: Precision) -> Matrix:
    dense = leaf.dense()
    scale = None
    values = dense.half()
    if precision in LARGEST_INTEGER:
        largest = LARGEST_INTEGER[precision]
        scale = dense.abs().amax(1) / largest
        step = torch.where(scale > 0, scale, 1.0)
        values = (dense / step[:, None]).round().clamp(-largest, largest)
    if isinstance(leaf, DenseMatrix):
        return DenseMatrix(stored_as(values, precision), scale, columns=leaf.columns)
    if isinstance(leaf, PatternMatrix):
        kept = stored_as(values[leaf.coordinates()], precision)
        return PatternMatrix(leaf.rows, leaf.columns, leaf.pattern, leaf.codes, kept, scale)
    sparse = cast("SparseMatrix", leaf)
    indptr, columns = sparse.places()
    rows = np.repeat(np.arange(sparse.rows), np.diff(indptr))
    kept = values[rows, columns]
    return _sparse_layout(sparse, indptr, columns, kept, scale, precision)


def _sparse_layout(
    sparse: SparseMatrix,
    indptr: np.ndarray[Any, Any],
    columns: np.ndarray[Any, Any],
    values: Tensor,
    scale: Tensor | None,
    precision: Precision,
) -> Matrix:
    layout = cheapest_layout(sparse.rows, sparse.columns, len(values), precision)
    if layout == "csr":
        places = torch.from_numpy(indptr), torch.from_numpy(columns.astype(np.int64))
        return CsrMatrix(sparse.columns, *places, stored_as(values, precision), scale)
    dense = torch.zeros(sparse.rows, sparse.columns, dtype=values.dtype)
    rows = np.repeat(np.arange(sparse.rows), np.diff(indptr))
    dense[rows, columns] = values
    if layout == "dense":
        return DenseMatrix(stored_as(dense, precision), scale, columns=sparse.columns)
    kept = torch.zeros(dense.shape, dtype=torch.bool)
    kept[rows, columns] = True
    bits, entries = pack(kept), len(values)
    values = stored_as(values, precision)
    return BitmapMatrix(sparse.rows, sparse.columns, bits, values, scale, entries=entries)
