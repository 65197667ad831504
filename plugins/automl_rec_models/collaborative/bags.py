"""Bags: lists of rows of different lengths, as every aggregation of histories reads them."""

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class Bags:
    """For each of B owners, the numbers of some of M rows.

    It acts as a sparse (B, M) matrix whose entries differ from product to product. All its products
    are sums over bags, forwards as backwards, which never hold a row for every entry.

    Attributes:
        owners: (E,) int64 ascending, the owner of every entry.
        members: (E,) int32, the row of every entry.
        indptr: (B + 1,) int32; owner b's entries are ``indptr[b]:indptr[b + 1]``.
    """

    def __init__(self, owners: Tensor, members: Tensor, num_owners: int, num_rows: int) -> None:
        self.owners, self.members, self._num_rows = owners, members.int(), num_rows
        self.indptr = _pointers(owners, num_owners)

    @property
    def lengths(self) -> Tensor:
        """(B,) number of entries of every owner."""
        return self.indptr.diff()

    def sums(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of rows (M, D) by weights (E,): (B, D), zeros where a bag is empty."""
        result: Tensor = _Sums.apply(rows, weights, self)  # type: ignore[no-untyped-call]
        return result

    def products(self, rows: Tensor, vectors: Tensor) -> Tensor:
        """Inner products of rows (M, D) with their owners' vectors (B, D): (E,)."""
        result: Tensor = _Products.apply(rows, vectors, self)  # type: ignore[no-untyped-call]
        return result

    def softmax(self, logits: Tensor) -> Tensor:
        """Exponentials of logits (E,) over their sum within each bag: (E,)."""
        zeros = torch.zeros(len(self.indptr) - 1)
        largest = zeros.scatter_reduce(0, self.owners, logits.detach(), "amax", include_self=False)
        shares = (logits - largest[self.owners]).exp()
        return shares / zeros.index_add(0, self.owners, shares)[self.owners]

    def weighted(self, rows: Tensor, weights: Tensor) -> Tensor:
        """`sums` without gradient."""
        return _sums(self.members, rows, self.indptr, weights)

    def weighted_back(self, vectors: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of vectors (B, D) over the owners of each row, without gradient: (M, D)."""
        order, indptr = self._transposed
        return _sums(self.owners[order].int(), vectors, indptr, weights[order])

    def inner(self, rows: Tensor, vectors: Tensor) -> Tensor:
        """`products` without gradient: what a sum's slope says of its weights."""
        with torch.enable_grad():
            weights = torch.zeros(len(self.members), requires_grad=True)
            sums = _sums(self.members, rows.detach(), self.indptr, weights)
            (products,) = torch.autograd.grad(sums, weights, vectors.detach())
        return products

    @cached_property
    def _transposed(self) -> tuple[Tensor, Tensor]:
        """The entries in the order of rows, and where each row's begin."""
        order = self.members.argsort(stable=True)
        return order, _pointers(self.members, self._num_rows)


def _pointers(owners: Tensor, count: int) -> Tensor:
    ends = torch.bincount(owners, minlength=count).cumsum(0)
    return F.pad(ends, (1, 0)).int()


def _sums(members: Tensor, rows: Tensor, indptr: Tensor, weights: Tensor) -> Tensor:
    if len(members) == 0:
        return rows.new_zeros(len(indptr) - 1, rows.shape[1]) + 0 * weights.sum()
    return F.embedding_bag(
        members, rows, indptr, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor, bags: Bags) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.bags = bags
        return bags.weighted(rows, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor | None, None]:
        rows, weights = ctx.saved_tensors
        of_weights = ctx.bags.inner(rows, slope) if ctx.needs_input_grad[1] else None
        return ctx.bags.weighted_back(slope, weights), of_weights, None


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, vectors: Tensor, bags: Bags) -> Tensor:
        ctx.save_for_backward(rows, vectors)
        ctx.bags = bags
        return bags.inner(rows, vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, vectors = ctx.saved_tensors
        return ctx.bags.weighted_back(vectors, slope), ctx.bags.weighted(rows, slope), None
