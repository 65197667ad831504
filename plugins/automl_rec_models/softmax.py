"""The softmax over all items, without ever holding all of its logits."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_LOGITS = 1 << 21
"""Logits held at once: 8 MB of float32."""


def cross_entropy(states: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """Mean of ``-log softmax(states @ rows.T)`` at the targets, differentiable.

    Args:
        states: (P, D).
        rows: (I, D) of all items.
        targets: (P,) int64 item numbers.
    """
    loss: Tensor = _CrossEntropy.apply(states, rows, targets)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Slopes are computed chunk by chunk on the way forward, while the logits are there."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
        of_states, of_rows = torch.empty_like(states), torch.zeros_like(rows)
        total = states.new_zeros(())
        size = max(1, CHUNK_LOGITS // len(rows))
        for start in range(0, len(states), size):
            part = slice(start, start + size)
            slope, places = states[part] @ rows.T, targets[part, None]
            slope.sub_(slope.amax(1, keepdim=True))
            total -= slope.gather(1, places).sum()
            sums = slope.exp_().sum(1, keepdim=True)
            total += sums.log().sum()
            slope.div_(sums).scatter_add_(1, places, slope.new_full(places.shape, -1.0))
            torch.mm(slope, rows, out=of_states[part])
            of_rows.addmm_(slope.T, states[part])
        ctx.save_for_backward(of_states, of_rows)
        return total / len(states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        of_states, of_rows = ctx.saved_tensors
        each = slope / len(of_states)
        return of_states * each, of_rows * each, None
