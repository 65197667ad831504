"""Sums of softplus with weights, as every logistic loss of sampled pairs has them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_PRODUCTS = 1 << 17
"""Products held at once: half a megabyte of float32, which a processor's cache keeps."""


def weighted_softplus(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of ``weights * softplus(values)``, differentiable by the values, of equal shapes."""
    result: Tensor = _Weighted.apply(values, weights)  # type: ignore[no-untyped-call]
    return result


def product_softplus(
    vectors: Tensor, rows: Tensor, of_vectors: Tensor, of_rows: Tensor, base: float
) -> Tensor:
    """Sum over all pairs of ``(base + v_b w_n) softplus(x_b . y_n)``, differentiable by x and y.

    Args:
        vectors: x, (B, D).
        rows: y, (N, D).
        of_vectors: v, (B,).
        of_rows: w, (N,).
        base: what every pair weighs.
    """
    result: Tensor = _Products.apply(vectors, rows, of_vectors, of_rows, base)  # type: ignore[no-untyped-call]
    return result


class _Weighted(torch.autograd.Function):
    """Half the passes over memory that autograd would take."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(weights * torch.sigmoid(values))
        return F.softplus(values).reshape(-1).dot(weights.reshape(-1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * slope, None


class _Products(torch.autograd.Function):
    """Slopes are computed chunk by chunk on the way forward, while the products are there."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, rows: Tensor, of_vectors: Tensor, of_rows: Tensor, base: float
    ) -> Tensor:
        by_vectors, by_rows = torch.empty_like(vectors), torch.zeros_like(rows)
        total, columns = vectors.new_zeros(()), rows.T
        size = max(1, CHUNK_PRODUCTS // max(1, len(rows)))
        for start in range(0, len(vectors), size):
            part = slice(start, start + size)
            products = vectors[part] @ columns
            weights = torch.outer(of_vectors[part], of_rows).add_(base)
            total += F.softplus(products).mul_(weights).sum()
            slopes = products.sigmoid_().mul_(weights)
            torch.mm(slopes, rows, out=by_vectors[part])
            by_rows.addmm_(slopes.T, vectors[part])
        ctx.save_for_backward(by_vectors, by_rows)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        by_vectors, by_rows = ctx.saved_tensors
        return by_vectors * slope, by_rows * slope, None, None, None
