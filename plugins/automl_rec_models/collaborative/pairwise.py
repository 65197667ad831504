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


def penalised_bpr(rows: PairRows, regularization: float) -> Tensor:
    """``bpr(rows) + regularization * penalty(rows)`` in half the passes over memory."""
    result: Tensor = _PenalisedBpr.apply(*rows, regularization)  # type: ignore[no-untyped-call]
    return result


class _PenalisedBpr(torch.autograd.Function):
    """See `penalised_bpr`."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, regularization: float) -> Tensor:
        gaps = items[:, 1:] - items[:, :1]
        scores = torch.linalg.vecdot(gaps, users[:, None])
        ctx.save_for_backward(users, items, gaps, scores)
        ctx.regularization = regularization
        return F.softplus(scores).mean() + regularization * _half_square(users, items)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        users, items, gaps, scores = ctx.saved_tensors
        doubts = (scores.sigmoid() * (slope / scores.numel()))[:, :, None]
        of_items = torch.empty_like(items)
        torch.mul(users[:, None], doubts, out=of_items[:, 1:])
        torch.sum(of_items[:, 1:], 1, out=of_items[:, 0]).neg_()
        of_users = (gaps * doubts).sum(1)
        each = ctx.regularization * float(slope) / len(users)
        of_users.add_(users, alpha=each)
        of_items[:, :1].add_(items[:, :1], alpha=each)
        of_items[:, 1:].add_(items[:, 1:], alpha=each / gaps.shape[1])
        return of_users, of_items, None


class _Penalty(torch.autograd.Function):
    """See `penalty`."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor) -> Tensor:
        ctx.save_for_backward(users, items)
        return _half_square(users, items)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        users, items = ctx.saved_tensors
        each = slope / len(users)
        of_items = items * each
        if items.shape[1] > 2:
            of_items[:, 1:] /= items.shape[1] - 1
        return users * each, of_items


def _half_square(users: Tensor, items: Tensor) -> Tensor:
    share = 1 / (items.shape[1] - 1)
    total = _square(users) + share * _square(items)
    if share < 1:
        total += (1 - share) * _square(items[:, 0])
    return total / (2 * len(users))


def _square(rows: Tensor) -> Tensor:
    flat = rows.reshape(-1)
    return flat.dot(flat)
