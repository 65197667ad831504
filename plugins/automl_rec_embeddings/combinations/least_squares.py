"""Stores nearest to wanted rows, by weighted least squares."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from automl_rec.plugin import Field

SWEEPS = 20
"""Rounds of alternating least squares in `Combination.fit`."""


def part_of(store: Tensor, slots: Tensor, absent: float) -> Tensor:
    """(N, D) what ids read of a store (M, D); ``absent`` where the slot is `PADDING`."""
    rows = store[slots.clamp(min=0)]
    return torch.where((slots >= 0)[:, None], rows, absent)


def nearest(targets: Tensor, factors: Tensor, slots: Tensor, size: int, weights: Tensor) -> Tensor:
    """(M, D) values v with the least sum of ``w (target - factor * v[slot])^2``; 0 where free."""
    read = slots >= 0
    at, w = slots[read], weights[read, None]
    t, f = targets[read], factors[read]
    products = targets.new_zeros(size, targets.shape[1]).index_add_(0, at, w * f * t)
    squares = targets.new_zeros(size, targets.shape[1]).index_add_(0, at, w * f * f)
    return torch.where(squares > 0, products / squares.clamp(min=torch.finfo(w.dtype).tiny), 0.0)


def train_weights(field: "Field") -> Tensor:
    """(N,) float32 how much each id matters: one more than train counts, 1 without counts.

    One more, as an id without an event may have its slots to itself.
    """
    if field.counts is None:
        return torch.ones(field.num_rows)
    return 1.0 + torch.from_numpy(field.counts).float()
