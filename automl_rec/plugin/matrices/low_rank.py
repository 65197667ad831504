"""Products of two factors."""

import torch
from torch import Tensor

from automl_rec.plugin.form import Form, Product
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.matrix import Matrix


class LowRankMatrix(Matrix):
    """The product ``left @ right.T`` of left (rows, rank) and right (columns, rank).

    Attributes:
        zero_diagonal: whether entry (i, i) counts as 0, as in item-item weights: an item must not
            recommend itself, and a product of factors has no zero diagonal of its own.
    """

    def __init__(self, left: Matrix, right: Matrix, *, zero_diagonal: bool = False) -> None:
        super().__init__()
        self.rows, self.columns = left.rows, right.rows
        self.left, self.right, self.zero_diagonal = left, right, zero_diagonal
        self._diagonal: Tensor | None = None

    @property
    def rank(self) -> int:
        """The inner width."""
        return self.left.columns

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        rows = self.right.multiply(self.left.gather(ids))
        if self.zero_diagonal:
            rows = rows.scatter(-1, ids[..., None], 0.0)
        return rows

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        inner = self._project(x)
        product = self.left.multiply(inner)
        return product - x * self._diagonal_values() if self.zero_diagonal else product

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        bags = self.right.multiply(self.left.bag(indptr, ids))
        if self.zero_diagonal:
            owners = torch.repeat_interleave(torch.arange(len(indptr) - 1), indptr.diff())
            bags.index_put_((owners, ids), -self._diagonal_values()[ids], accumulate=True)
        return bags

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        product = self.left.dense() @ self.right.dense().T
        return product.fill_diagonal_(0.0) if self.zero_diagonal else product

    def form(self) -> Form:
        """See `Matrix.form`."""
        return Product(self.left.form(), self.right.form())

    def _project(self, x: Tensor) -> Tensor:
        if isinstance(self.right, DenseMatrix) and self.right.values.dtype == torch.float32:
            return x @ self.right.values
        return x @ self.right.dense()

    def _diagonal_values(self) -> Tensor:
        if self._diagonal is None:
            self._diagonal = (self.left.dense() * self.right.dense()).sum(1)
        return self._diagonal
