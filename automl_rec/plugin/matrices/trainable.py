"""What training changes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin.form import Form, leaf_form
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.matrix import Matrix


class TrainableMatrix(Matrix):
    """Float32 values under training, with a mask where a sparsity set one.

    Attributes:
        weight: (rows, columns) parameter.
        mask: (rows, columns) float32 of 0 and 1, or None; multiplies the weight at every use.
    """

    mask: Tensor | None

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.weight = nn.Parameter(torch.empty(rows, columns))
        self.register_buffer("mask", None, persistent=False)

    def effective(self) -> Tensor:
        """The weight as it acts: (rows, columns)."""
        return self.weight if self.mask is None else self.weight * self.mask

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        # Its backward pass takes half the time of that of F.embedding.
        rows = self.weight.index_select(0, ids.reshape(-1)).reshape(*ids.shape, self.columns)
        return rows if self.mask is None else rows * F.embedding(ids, self.mask)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return F.linear(x, self.effective())

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return F.embedding_bag(ids, self.effective(), indptr[:-1], mode="sum")

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.effective().detach()

    def form(self) -> Form:
        """See `Matrix.form`."""
        return leaf_form(self.rows, self.columns, self.rows * self.columns, "fp32")


def store(matrix: Matrix) -> Matrix:
    """The matrix without training state: masks folded, parameters turned into stored values."""
    return DenseMatrix(matrix.dense().clone()) if isinstance(matrix, TrainableMatrix) else matrix
