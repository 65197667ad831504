"""Combinations: from the rows an id reads in several stores to one row."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

SWEEPS = 20
"""Rounds of alternating least squares in `Combination.fit`."""


class Combination(ABC):
    """One row of width D from one part of each store.

    Attributes:
        needs_every_part: whether an id must read every store.
        absent: what a part that is not read counts as.
        linear: whether scoring distributes over the parts.
    """

    needs_every_part = False
    absent = 0.0
    linear = True

    def widths(self, width: int, stores: int) -> tuple[int, ...]:
        """Width of each store, where the row has ``width`` columns."""
        return (width,) * stores

    def initial(self, store: int, stores: int, std: float) -> tuple[float, float]:
        """Mean and standard deviation at which a store starts, so that rows start at ``std``."""
        return 0.0, std

    @abstractmethod
    def join(self, parts: "Sequence[Tensor]") -> Tensor:
        """The row (B, D) of parts (B, D_j)."""

    def split(self, x: Tensor, widths: "Sequence[int]") -> tuple[Tensor, ...]:
        """What each store is multiplied with when rows are scored against x (..., D)."""
        return (x,) * len(widths)

    @abstractmethod
    def fit(
        self, rows: Tensor, slots: "Sequence[Tensor]", sizes: "Sequence[int]", weights: Tensor
    ) -> list[Tensor]:
        """The stores whose combination is nearest to rows, in weighted least squares.

        Args:
            rows: (N, D) rows wanted.
            slots: one (N,) a store, `PADDING` where an id does not read it.
            sizes: number of slots M_j of each store.
            weights: (N,) positive weights of the ids.

        Returns:
            One (M_j, D_j) a store; slots that no id reads hold zeros.
        """


class Sum(Combination):
    """Parts are added; `fit` is block coordinate descent, exact for one store."""

    def initial(self, store: int, stores: int, std: float) -> tuple[float, float]:
        """See `Combination.initial`; variances add."""
        return 0.0, std / stores**0.5

    def join(self, parts: "Sequence[Tensor]") -> Tensor:
        """See `Combination.join`."""
        return sum(parts[1:], start=parts[0])

    def fit(
        self, rows: Tensor, slots: "Sequence[Tensor]", sizes: "Sequence[int]", weights: Tensor
    ) -> list[Tensor]:
        """See `Combination.fit`."""
        stores = [rows.new_zeros(size, rows.shape[1]) for size in sizes]
        for _ in range(SWEEPS if len(stores) > 1 else 1):
            for j, size in enumerate(sizes):
                parts = [_read(store, s, 0.0) for store, s in zip(stores, slots, strict=True)]
                rest = rows - self.join(parts) + parts[j]
                stores[j] = _nearest(rest, torch.ones_like(rest), slots[j], size, weights)
        return stores


class Concat(Combination):
    """Parts stand side by side, each of a share of the width; `fit` is exact."""

    needs_every_part = True

    def widths(self, width: int, stores: int) -> tuple[int, ...]:
        """See `Combination.widths`; the first stores take what does not divide."""
        share, rest = divmod(width, stores)
        return tuple(share + (j < rest) for j in range(stores))

    def join(self, parts: "Sequence[Tensor]") -> Tensor:
        """See `Combination.join`."""
        return torch.cat(list(parts), dim=-1)

    def split(self, x: Tensor, widths: "Sequence[int]") -> tuple[Tensor, ...]:
        """See `Combination.split`."""
        return torch.split(x, list(widths), dim=-1)

    def fit(
        self, rows: Tensor, slots: "Sequence[Tensor]", sizes: "Sequence[int]", weights: Tensor
    ) -> list[Tensor]:
        """See `Combination.fit`."""
        parts = self.split(rows, self.widths(rows.shape[1], len(sizes)))
        return [
            _nearest(part, torch.ones_like(part), s, size, weights)
            for part, s, size in zip(parts, slots, sizes, strict=True)
        ]


class Product(Combination):
    """Parts are multiplied entry by entry; `fit` alternates between the stores.

    The first store starts small, the others near 1: products of small factors would vanish.
    """

    absent = 1.0
    linear = False
    spread = 0.1

    def initial(self, store: int, stores: int, std: float) -> tuple[float, float]:
        """See `Combination.initial`."""
        return (0.0, std) if store == 0 else (1.0, self.spread)

    def join(self, parts: "Sequence[Tensor]") -> Tensor:
        """See `Combination.join`."""
        product = parts[0]
        for part in parts[1:]:
            product = product * part
        return product

    def fit(
        self, rows: Tensor, slots: "Sequence[Tensor]", sizes: "Sequence[int]", weights: Tensor
    ) -> list[Tensor]:
        """See `Combination.fit`."""
        stores = [rows.new_ones(size, rows.shape[1]) for size in sizes]
        for _ in range(SWEEPS if len(stores) > 1 else 1):
            for j, size in enumerate(sizes):
                parts = [_read(store, s, 1.0) for store, s in zip(stores, slots, strict=True)]
                others = [part for i, part in enumerate(parts) if i != j]
                factors = self.join(others) if others else torch.ones_like(rows)
                stores[j] = _nearest(rows, factors, slots[j], size, weights)
        return stores


def _read(store: Tensor, slots: Tensor, absent: float) -> Tensor:
    rows = store[slots.clamp(min=0)]
    return torch.where((slots >= 0)[:, None], rows, absent)


def _nearest(targets: Tensor, factors: Tensor, slots: Tensor, size: int, weights: Tensor) -> Tensor:
    """(M, D) values v with the least sum of ``w (target - factor * v[slot])^2``; 0 where free."""
    read = slots >= 0
    at, w = slots[read], weights[read, None]
    t, f = targets[read], factors[read]
    products = targets.new_zeros(size, targets.shape[1]).index_add_(0, at, w * f * t)
    squares = targets.new_zeros(size, targets.shape[1]).index_add_(0, at, w * f * f)
    return torch.where(squares > 0, products / squares.clamp(min=torch.finfo(w.dtype).tiny), 0.0)
