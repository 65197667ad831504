"""A finished weight and the factors in its place."""

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


def factor(weight: Weight, left: Tensor, right: Tensor) -> None:
    """Stores ``left @ right.T`` in place of the served part (M, N): left (M, R), right (N, R)."""
    factors = DenseMatrix(left.contiguous()), DenseMatrix(right.contiguous())
    product = LowRankMatrix(*factors, zero_diagonal=weight.zero_diagonal)
    weight.matrix = map_leaves(weight.matrix, lambda _: product)
