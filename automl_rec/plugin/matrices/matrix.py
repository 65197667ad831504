"""What every matrix does."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from automl_rec.plugin.form import Form


class Matrix(nn.Module, ABC):
    """A weight W of shape (rows, columns)."""

    rows: int
    columns: int

    @abstractmethod
    def gather(self, ids: Tensor) -> Tensor:
        """Rows of W for ids (...,) int64: (..., columns) float32."""

    @abstractmethod
    def multiply(self, x: Tensor) -> Tensor:
        """``x @ W.T`` for x (..., columns): (..., rows) float32."""

    @abstractmethod
    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """Sums of rows: bag b adds rows ``ids[indptr[b]:indptr[b + 1]]``; (B, columns) float32."""

    @abstractmethod
    def dense(self) -> Tensor:
        """W as (rows, columns) float32."""

    @abstractmethod
    def form(self) -> Form:
        """What the matrix occupies now."""

    def effective(self) -> Tensor:
        """W as it acts: (rows, columns) float32, differentiable while it is under training."""
        return self.dense()

    def project(self, x: Tensor) -> Tensor:
        """``x @ W`` for x (..., rows): (..., columns) float32."""
        return x @ self.effective()

    def assign(self, values: Tensor) -> None:
        """Takes values (rows, columns), or the nearest it can hold, without gradient.

        Raises:
            TypeError: it is not under training, or does not take values.
        """
        raise TypeError(f"a {type(self).__name__} takes no values")

    def stored(self) -> "Matrix":
        """The matrix without training state: masks folded, parameters turned into values."""
        return self


def sum_bags(rows: Tensor, indptr: Tensor) -> Tensor:
    """Sums of rows (E, D) that stand bag after bag, see `Matrix.bag`: (B, D)."""
    owners = torch.repeat_interleave(torch.arange(len(indptr) - 1), indptr.diff())
    sums = torch.zeros(len(indptr) - 1, rows.shape[1])
    return sums.index_add_(0, owners, rows)
