"""What a weight gives while a model answers."""

import torch
from torch import Tensor

from automl_rec.plugin import Matrix, Role, WatchedMatrix


class Moments:
    """Count, mean and second moments of vectors (D,), gathered batch by batch in float64."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = torch.zeros(0, dtype=torch.float64)
        self._products = torch.zeros(0, 0, dtype=torch.float64)

    def add(self, vectors: Tensor) -> None:
        """Takes note of vectors (..., D)."""
        width = vectors.shape[-1]
        if not len(self._sum):
            self._sum = torch.zeros(width, dtype=torch.float64)
            self._products = torch.zeros(width, width, dtype=torch.float64)
        flat = vectors.reshape(-1, width).double()
        self.count += len(flat)
        self._sum += flat.sum(0)
        self._products.addmm_(flat.T, flat)

    @property
    def mean(self) -> Tensor:
        """(D,) float64."""
        return self._sum / self.count

    def second(self, *, about_mean: bool) -> Tensor:
        """Mean products of every two entries, or their covariances: (D, D) float64."""
        moments = self._products / self.count
        return moments - torch.outer(self.mean, self.mean) if about_mean else moments


class GivingMatrix(WatchedMatrix):
    """Notes what a matrix gives: products of a linear, looked-up rows or their sums else.

    Attributes:
        width: of what it gives.
        given: moments of what was given.
    """

    def __init__(self, watched: Matrix, role: Role) -> None:
        super().__init__(watched)
        self._products = role == "linear"
        self.width = self.rows if self._products else self.columns
        self.given = Moments()

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        return self._noted(super().gather(ids), products=False)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return self._noted(super().multiply(x), products=True)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return self._noted(super().bag(indptr, ids), products=False)

    def _noted(self, given: Tensor, *, products: bool) -> Tensor:
        if products == self._products:
            self.given.add(given)
        return given
