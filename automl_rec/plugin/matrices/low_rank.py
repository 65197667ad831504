"""Products of two factors."""

import torch
from torch import Tensor

from automl_rec.plugin.form import Form, Product
from automl_rec.plugin.matrices.matrix import Matrix


class LowRankMatrix(Matrix):
    """The product ``left @ right.T`` of left (rows, rank) and right (columns, rank).

    Both factors may be under training, where no diagonal must be 0.

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
        product = self.left.multiply(self.right.project(x))
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
        return self.effective().detach()

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        product = self.left.effective() @ self.right.effective().T
        return product.fill_diagonal_(0.0) if self.zero_diagonal else product

    def form(self) -> Form:
        """See `Matrix.form`."""
        return Product(self.left.form(), self.right.form())

    def stored(self) -> Matrix:
        """See `Matrix.stored`."""
        left, right = self.left.stored(), self.right.stored()
        return LowRankMatrix(left, right, zero_diagonal=self.zero_diagonal)

    def _diagonal_values(self) -> Tensor:
        if self._diagonal is None:
            self._diagonal = (self.left.dense() * self.right.dense()).sum(1)
        return self._diagonal
