"""The cosine contrastive loss of rows, fast where all positives share their negatives."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from automl_rec_models.inner_products import inner_products
from automl_rec_models.losses import cosine_contrastive

CHUNK_PRODUCTS = 1 << 17
"""Products held at once: half a megabyte of float32, which a processor's cache keeps."""


def contrastive(
    vectors: Tensor, items: Tensor, negatives: Tensor, *, weight: float, margin: float
) -> Tensor:
    """`automl_rec_models.losses.cosine_contrastive` of rows of length 1.

    Args:
        vectors: (B, D).
        items: (B, D), the positive of each vector.
        negatives: (B, N, D) of each vector, or (N, D) of all.
        weight: see there.
        margin: see there.
    """
    positives = (vectors * items).sum(1)
    if negatives.ndim == 3:
        products = inner_products(vectors, negatives)
        return cosine_contrastive(positives, products, weight=weight, margin=margin)
    hinges = shared_hinge(vectors, negatives, margin)
    loss: Tensor = F.relu(1 - positives).mean() + weight * hinges
    return loss


def shared_hinge(vectors: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Mean of ``(x_b . n_j - margin)_+`` over all pairs, differentiable.

    Args:
        vectors: x, (B, D).
        negatives: n, (N, D).
        margin: the product up to which a pair costs nothing.
    """
    mean: Tensor = _SharedHinge.apply(vectors, negatives, margin)  # type: ignore[no-untyped-call]
    return mean


class _SharedHinge(torch.autograd.Function):
    """Slopes are computed chunk by chunk on the way forward, while the products are there."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, negatives: Tensor, margin: float) -> Tensor:
        of_vectors, of_negatives = torch.empty_like(vectors), torch.zeros_like(negatives)
        total, columns = vectors.new_zeros(()), negatives.T
        size = max(1, CHUNK_PRODUCTS // max(1, len(negatives)))
        for start in range(0, len(vectors), size):
            part = slice(start, start + size)
            hinges = (vectors[part] @ columns).sub_(margin).clamp_(min=0)
            total += hinges.sum()
            slopes = hinges.sign_()
            torch.mm(slopes, negatives, out=of_vectors[part])
            of_negatives.addmm_(slopes.T, vectors[part])
        ctx.save_for_backward(of_vectors, of_negatives)
        pairs = max(1, len(vectors) * len(negatives))
        ctx.pairs = pairs
        return total / pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        of_vectors, of_negatives = ctx.saved_tensors
        each = slope / ctx.pairs
        return of_vectors * each, of_negatives * each, None
