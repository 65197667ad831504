"""Sums of two matrices."""

from torch import Tensor

from automl_rec.plugin.form import Form, Sum
from automl_rec.plugin.matrices.matrix import Matrix


class SumMatrix(Matrix):
    """``first + second``, each in a layout of its own; both may be under training."""

    def __init__(self, first: Matrix, second: Matrix) -> None:
        super().__init__()
        self.rows, self.columns = first.rows, first.columns
        self.first, self.second = first, second

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        return self.first.gather(ids) + self.second.gather(ids)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return self.first.multiply(x) + self.second.multiply(x)

    def project(self, x: Tensor) -> Tensor:
        """See `Matrix.project`."""
        return self.first.project(x) + self.second.project(x)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return self.first.bag(indptr, ids) + self.second.bag(indptr, ids)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.effective().detach()

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        return self.first.effective() + self.second.effective()

    def form(self) -> Form:
        """See `Matrix.form`."""
        return Sum(self.first.form(), self.second.form())

    def stored(self) -> Matrix:
        """See `Matrix.stored`."""
        return SumMatrix(self.first.stored(), self.second.stored())
