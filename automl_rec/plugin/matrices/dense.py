"""Stored dense values."""

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Form, Precision, leaf_form
from automl_rec.plugin.matrices.matrix import Matrix, sum_bags
from automl_rec.plugin.matrices.values import numbers_of, precision_of, stored_as


class DenseMatrix(Matrix):
    """Stored dense values in floating point, or in integers with one float32 step per row."""

    values: Tensor
    scale: Tensor | None

    def __init__(
        self, values: Tensor, scale: Tensor | None = None, *, columns: int | None = None
    ) -> None:
        """Takes stored values.

        Args:
            values: (rows, columns); of four bits two a byte, (rows, ceil(columns / 2)).
            scale: (rows,) float32 steps of integers.
            columns: where values share bytes.
        """
        super().__init__()
        self.rows, self.columns = len(values), columns or values.shape[1]
        self.register_buffer("values", values)
        self.register_buffer("scale", scale)

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        rows = numbers_of(F.embedding(ids, self.values), self.columns)
        return rows if self.scale is None else rows * self.scale[ids][..., None]

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        product = F.linear(x, numbers_of(self.values, self.columns))
        return product if self.scale is None else product * self.scale

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        if self.values.dtype == torch.float32:
            return F.embedding_bag(ids, self.values, indptr[:-1], mode="sum")
        return sum_bags(self.gather(ids), indptr)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        values = numbers_of(self.values, self.columns)
        return values if self.scale is None else values * self.scale[:, None]

    def form(self) -> Form:
        """See `Matrix.form`."""
        return leaf_form(
            self.rows, self.columns, self.rows * self.columns, precision_of(self.values)
        )


def from_integers(values: Tensor, steps: Tensor, precision: Precision) -> DenseMatrix:
    """The dense matrix of integers (rows, columns) times steps (rows,), at an integer precision."""
    return DenseMatrix(stored_as(values, precision), steps, columns=values.shape[1])
