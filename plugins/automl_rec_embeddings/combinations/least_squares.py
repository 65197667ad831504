"""Stores nearest to wanted rows, by weighted least squares."""

import torch
from torch import Tensor

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
