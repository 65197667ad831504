"""Matrices that are watched."""

from torch import Tensor

from automl_rec.plugin.form import Form
from automl_rec.plugin.matrices.matrix import Matrix


class WatchedMatrix(Matrix):
    """Stands in front of a stored matrix and passes on what it is asked.

    What wants to see how a finished model reads a weight extends it, and takes notes.

    Attributes:
        watched: the matrix that is asked.
    """

    def __init__(self, watched: Matrix) -> None:
        super().__init__()
        self.rows, self.columns, self.watched = watched.rows, watched.columns, watched

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        return self.watched.gather(ids)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return self.watched.multiply(x)

    def project(self, x: Tensor) -> Tensor:
        """See `Matrix.project`."""
        return self.watched.project(x)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return self.watched.bag(indptr, ids)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.watched.dense()

    def form(self) -> Form:
        """See `Matrix.form`."""
        return self.watched.form()
