"""What training changes."""

from typing import Any

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
        mask: (rows, columns) float32 in [0, 1], or None; multiplies the weight at every use.
            Entries of 0 do not learn, and what the optimiser remembers of them is forgotten.
        straight: whether slopes pass the mask as if it was 1, so that entries of 0 learn as well.
    """

    mask: Tensor | None

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.weight = nn.Parameter(torch.empty(rows, columns))
        self.register_buffer("mask", None, persistent=False)
        self.straight = False

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        return self.weight if self.mask is None else self._masked(self.weight, self.mask)

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        # Its backward pass takes half the time of that of F.embedding.
        rows = self.weight.index_select(0, ids.reshape(-1)).reshape(*ids.shape, self.columns)
        return rows if self.mask is None else self._masked(rows, F.embedding(ids, self.mask))

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

    def assign(self, values: Tensor) -> None:
        """See `Matrix.assign`; exact."""
        self.weight.copy_(values)

    def stored(self) -> Matrix:
        """See `Matrix.stored`."""
        return DenseMatrix(self.dense().clone())

    def _masked(self, values: Tensor, mask: Tensor) -> Tensor:
        if not self.straight:
            return values * mask
        product: Tensor = _Straight.apply(values, mask)  # type: ignore[no-untyped-call]
        return product


class _Straight(torch.autograd.Function):
    """Values times a mask, with slopes that pass it unchanged."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Tensor) -> Tensor:
        return values * mask

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> tuple[Tensor, None]:
        return slopes[0], None
