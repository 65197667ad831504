"""Which pairs and negatives a model learns from, as hyperparameters."""

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Sampling

Sampler: TypeAlias = Literal["shared-uniform", "uniform", "uniform-rejecting", "popularity"]
Draw: TypeAlias = Literal["edge", "user"]


def pair_sampling(
    negatives: int, sampler: Sampler = "uniform", exponent: float = 0.75, draw: Draw = "edge"
) -> Sampling:
    """Pairs with that many negatives, of a batch for ``"shared-uniform"``, else of a positive."""
    if sampler == "shared-uniform":
        return Sampling(negatives=negatives, sampler="uniform", shared=True, draw=draw)
    return Sampling(negatives=negatives, sampler=sampler, exponent=exponent, draw=draw)


def log_shares(catalog: Catalog, draw: Draw = "edge") -> Tensor:
    """Logarithms of the share of positives that each item is: (I,) float32.

    Without positives it is that of the smallest number.
    """
    matrix = catalog.matrix
    weights = np.ones(matrix.nnz)
    if draw == "user":
        weights = np.repeat(1 / np.maximum(catalog.user_counts, 1), catalog.user_counts)
    sums = np.bincount(matrix.indices, weights, catalog.num_items)
    shares = torch.from_numpy(sums / max(weights.sum(), 1.0)).float()
    return shares.clamp_(min=torch.finfo(torch.float32).tiny).log_()
