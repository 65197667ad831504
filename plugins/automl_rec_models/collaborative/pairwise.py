"""Pairwise learning: rows of users and items, their loss and their regularisation."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from automl_rec.plugin import Pairs, Table
from automl_rec_models.inner_products import inner_products


class PairRows(NamedTuple):
    """The rows of a batch.

    Attributes:
        users: (B, D).
        items: (B, 1 + N, D), each positive before its negatives.
    """

    users: Tensor
    items: Tensor


def rows_of(batch: Pairs, users: Table, items: Table) -> PairRows:
    """The rows of a batch from its tables."""
    return PairRows(users.lookup(batch.users), items.lookup(item_ids(batch)))


def item_ids(batch: Pairs) -> Tensor:
    """(B, 1 + N) each positive before its negatives: one read, so one gradient of the table."""
    return torch.cat([batch.items[:, None], batch.negatives], 1)


def bpr(rows: PairRows) -> Tensor:
    """Mean of ``softplus(s(u, j) - s(u, i))`` over positives i and their negatives j."""
    scores = inner_products(*rows)
    return F.softplus(scores[:, 1:] - scores[:, :1]).mean()


def penalty(rows: PairRows) -> Tensor:
    """Mean over positives of half the squared lengths of the user, the item and a negative."""
    result: Tensor = _Penalty.apply(*rows)  # type: ignore[no-untyped-call]
    return result


class _Penalty(torch.autograd.Function):
    """See `penalty`."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor) -> Tensor:
        ctx.save_for_backward(users, items)
        share = 1 / (items.shape[1] - 1)
        total = _square(users) + share * _square(items)
        if share < 1:
            total += (1 - share) * _square(items[:, 0])
        return total / (2 * len(users))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        users, items = ctx.saved_tensors
        each = slope / len(users)
        of_items = items * each
        if items.shape[1] > 2:
            of_items[:, 1:] /= items.shape[1] - 1
        return users * each, of_items


def _square(rows: Tensor) -> Tensor:
    flat = rows.reshape(-1)
    return flat.dot(flat)
