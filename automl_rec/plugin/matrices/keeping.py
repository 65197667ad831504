"""From what is kept of a matrix to its cheapest layout."""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin.form import Pattern, cheapest_layout
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.describing import blank
from automl_rec.plugin.matrices.matrix import Matrix
from automl_rec.plugin.matrices.pattern import PatternMatrix, codes_of
from automl_rec.plugin.matrices.sparse import BitmapMatrix, CsrMatrix, pack


def keep(weight: Tensor, kept: Tensor, pattern: Pattern | None = None) -> Matrix:
    """The entries of weight (rows, columns) where ``kept`` (bool) holds, in the cheapest layout.

    Entries that are kept stay stored even when they are 0, so that bytes follow from the number
    kept.

    Args:
        weight: float32 values.
        kept: which of them stay.
        pattern: what these places follow, if they do.
    """
    rows, columns = weight.shape
    entries = int(kept.sum())
    layout = cheapest_layout(rows, columns, entries, "fp32", pattern)
    if layout == "dense":
        return DenseMatrix(weight * kept)
    if layout == "pattern":
        assert pattern is not None, "only what follows a pattern is laid out by it"
        values = weight.T[kept.T] if pattern.down else weight[kept]
        return PatternMatrix(rows, columns, pattern, codes_of(kept, pattern), values.contiguous())
    values = weight[kept].contiguous()
    if layout == "bitmap":
        return BitmapMatrix(rows, columns, pack(kept), values)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), kept.sum(1).cumsum(0)])
    return CsrMatrix(columns, indptr, kept.nonzero()[:, 1], values)


def keep_shape(rows: int, columns: int, entries: int) -> Matrix:
    """What `keep` makes of so many entries, on the meta device."""
    layout = cheapest_layout(rows, columns, entries, "fp32")
    stored = rows * columns if layout == "dense" else entries
    sizes = {"rows": rows, "columns": columns, "entries": stored}
    return blank({"layout": layout, "precision": "fp32", "kernel": "scipy", **sizes})


def from_scipy(matrix: sp.csr_matrix) -> Matrix:
    """A scipy matrix in the cheapest layout; its explicit zeros are dropped."""
    matrix = matrix.copy()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    rows, columns = matrix.shape
    layout = cheapest_layout(rows, columns, matrix.nnz, "fp32")
    if layout == "csr":
        indptr = torch.from_numpy(matrix.indptr.astype(np.int64))
        indices = torch.from_numpy(matrix.indices.astype(np.int64))
        values = torch.from_numpy(matrix.data.astype(np.float32))
        return CsrMatrix(columns, indptr, indices, values)
    dense = torch.from_numpy(matrix.toarray().astype(np.float32))
    return keep(dense, dense != 0)
