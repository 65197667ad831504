"""Matrices that are 0 but for a corner."""

import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Form
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.matrix import Matrix, sum_bags


class CornerMatrix(Matrix):
    """A matrix that is 0 but for its top left corner, which alone is stored.

    Its form is that of the corner: zeros take no bytes and no operations.

    Attributes:
        corner: (R, C) with R <= rows and C <= columns.
    """

    def __init__(self, rows: int, columns: int, corner: Matrix) -> None:
        super().__init__()
        self.rows, self.columns, self.corner = rows, columns, corner

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        right, last = self.columns - self.corner.columns, self.corner.rows - 1
        if self.corner.rows == self.rows:
            return F.pad(self.corner.gather(ids), (0, right))
        return F.pad(self.corner.gather(ids.clamp(max=last)), (0, right)) * (ids <= last)[..., None]

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        product = self.corner.multiply(x[..., : self.corner.columns])
        return F.pad(product, (0, self.rows - self.corner.rows))

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        if self.corner.rows < self.rows:
            return sum_bags(self.gather(ids), indptr)
        return F.pad(self.corner.bag(indptr, ids), (0, self.columns - self.corner.columns))

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        right, below = self.columns - self.corner.columns, self.rows - self.corner.rows
        return F.pad(self.corner.dense(), (0, right, 0, below))

    def form(self) -> Form:
        """See `Matrix.form`."""
        return self.corner.form()


def cut(matrix: Matrix, rows: int, columns: int) -> Matrix:
    """The dense matrix with nothing left but the top left corner of so many rows and columns."""
    if (rows, columns) == (matrix.rows, matrix.columns):
        return matrix
    corner = DenseMatrix(matrix.dense()[:rows, :columns].clone())
    return CornerMatrix(matrix.rows, matrix.columns, corner)
