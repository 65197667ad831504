"""Factorisation machine: logistic regression with the inner products of all pairs of fields."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from automl_rec.plugin import Catalog, Layers
from automl_rec_models.ranking.fields import FieldTables, Reading
from automl_rec_models.ranking.linear import START, LogisticRegression


class FactorizationMachine(LogisticRegression):
    """b + sum_f w_f + sum_{f < g} v_f . v_g.

    Source: Rendle, ICDM 2010, of degree 2.
    Ours has one row a value and field; several values of one field are pooled first, so that they
    do not meet each other.

    Attributes:
        size: numbers in the vectors of one row, F D.
    """

    def __init__(
        self, catalog: Catalog, layers: Layers, /, *, width: int, regularization: float
    ) -> None:
        fields = FieldTables(catalog, layers, width, std=START)
        super().__init__(catalog, layers, fields, regularization=regularization)
        self.size = fields.count * width

    def judge(self, *readings: Reading) -> Tensor:
        """See `FieldModel.judge`."""
        return super().judge(*readings) + pairs(readings[1].vectors)

    def operations(self) -> float:
        """Multiply-adds of the rows of tables, and of their sum and their squares."""
        return super().operations() + 2.0 * self.size


def pairs(vectors: Tensor) -> Tensor:
    """Sum of v_f . v_g over f < g, in O(F D).

    Args:
        vectors: (B, F, D).

    Returns:
        (B,), differentiable.
    """
    result: Tensor = _Pairs.apply(vectors)  # type: ignore[no-untyped-call]
    return result


class _Pairs(torch.autograd.Function):
    """Half of the square of the sum less the sum of the squares; the slope of v_f is the others."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        total, flat = vectors.sum(1), vectors.flatten(1)
        ctx.save_for_backward(vectors, total)
        twice: Tensor = torch.linalg.vecdot(total, total) - torch.linalg.vecdot(flat, flat)
        return 0.5 * twice

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        vectors, total = ctx.saved_tensors
        others: Tensor = total[:, None] - vectors
        return others.mul_(slope[:, None, None])
