"""A finished weight and the factors in its place."""

import torch
from torch import Tensor

from automl_rec.plugin import (
    CornerMatrix,
    DenseMatrix,
    LowRankMatrix,
    Matrix,
    Weight,
    map_leaves,
)


def served_part(weight: Weight) -> Matrix:
    """The stored matrix of a weight, of its corner where that alone is served."""
    matrix = weight.matrix
    return matrix.corner if isinstance(matrix, CornerMatrix) else matrix


def balanced(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The factors with each pair of columns (M,), (N,) at one length, their product unchanged.

    So neither factor is harder to prune or to round than the other.
    """
    lengths = left.norm(dim=0), right.norm(dim=0)
    scale = torch.where(lengths[0] > 0, (lengths[1] / lengths[0]).sqrt(), 1.0)
    scale = torch.where(scale > 0, scale, 1.0)
    return left * scale, right / scale


def factor(weight: Weight, left: Tensor, right: Tensor) -> None:
    """Stores ``left @ right.T`` in place of the served part (M, N): left (M, R), right (N, R)."""
    factors = DenseMatrix(left.contiguous()), DenseMatrix(right.contiguous())
    product = LowRankMatrix(*factors, zero_diagonal=weight.zero_diagonal)
    weight.matrix = map_leaves(weight.matrix, lambda _: product)
