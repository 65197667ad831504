"""The bipartite graph of users and items, and how rows of its nodes spread over it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class Rows(NamedTuple):
    """Rows of all nodes.

    Attributes:
        users: (U, D).
        items: (I, D).
    """

    users: Tensor
    items: Tensor


class Graph:
    """A = D^-1/2 M D^-1/2 of the bipartite adjacency M without self-loops, as products with rows.

    Nodes without an edge have the scale 0. Both halves of a product sum bags of rows, which is
    several times faster than torch's sparse or, at the density of ratings, dense products.
    """

    def __init__(
        self, indptr: npt.NDArray[np.integer], items: npt.NDArray[np.integer], num_items: int
    ) -> None:
        """Takes the items (E,) of user u as ``items[indptr[u]:indptr[u + 1]]``."""
        shape = (len(indptr) - 1, num_items)
        there = sp.csr_matrix((np.ones(len(items), np.bool_), items, indptr), shape)
        # They may come from a damaged file, and scipy would follow them out of memory.
        there.check_format(full_check=True)
        back = there.T.tocsr()
        self._there, self._back = _Bags(there), _Bags(back)

    def spread(self, rows: Rows, weights: Sequence[float]) -> Rows:
        """Sum of ``weights[k]`` times A^k times the rows, differentiable."""
        result: tuple[Tensor, Tensor] = _Spread.apply(*rows, self, tuple(weights))  # type: ignore[no-untyped-call]
        return Rows(*result)

    def spread_once(self, rows: Rows) -> Rows:
        """A times the rows, without gradient."""
        users, items = rows.users * self._there.scale, rows.items * self._back.scale
        return Rows(self._there.sum(items), self._back.sum(users))


class _Bags:
    """One half of a graph: for each of its nodes, the neighbours on the other side."""

    def __init__(self, matrix: sp.csr_matrix) -> None:
        degrees = np.diff(matrix.indptr).astype(np.float64)
        scale = np.divide(1.0, np.sqrt(degrees), where=degrees > 0, out=np.zeros_like(degrees))
        self.scale = torch.from_numpy(scale.astype(np.float32))[:, None]
        self._indptr = torch.from_numpy(matrix.indptr.astype(np.int32))
        self._neighbours = torch.from_numpy(matrix.indices.astype(np.int32))

    def sum(self, rows: Tensor) -> Tensor:
        """Scaled sums over neighbours of rows (M, D) of the other side: (N, D)."""
        if len(self._neighbours) == 0:
            return torch.zeros(len(self.scale), rows.shape[1])
        sums = F.embedding_bag(
            self._neighbours, rows, self._indptr, mode="sum", include_last_offset=True
        )
        return sums.mul_(self.scale)


class _Spread(torch.autograd.Function):
    """A polynomial of a symmetric matrix, which is its own transpose."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, graph: Graph, weights: tuple[float, ...]
    ) -> Rows:
        ctx.graph, ctx.weights = graph, weights
        return _polynomial(graph, Rows(users, items), weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, users: Tensor, items: Tensor) -> tuple[Tensor | None, ...]:
        return *_polynomial(ctx.graph, Rows(users, items), ctx.weights), None, None


def _polynomial(graph: Graph, rows: Rows, weights: tuple[float, ...]) -> Rows:
    """By Horner's rule, so that a power costs one product."""
    total = Rows(rows.users * weights[-1], rows.items * weights[-1])
    for weight in reversed(weights[:-1]):
        total = graph.spread_once(total)
        if weight != 0:
            total.users.add_(rows.users, alpha=weight)
            total.items.add_(rows.items, alpha=weight)
    return total
