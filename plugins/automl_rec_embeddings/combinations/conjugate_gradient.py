"""Stores of which an id reads several rows, fitted to wanted rows together."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.combinations.least_squares import part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automl_rec_embeddings.combinations.combination import Combination

STEPS = 100
NEAR = 1e-7
"""Norm of the gradient, as a share of what it was at the start, at which the search ends."""


def fit_together(
    combination: "Combination",
    rows: Tensor,
    slots: "Sequence[Tensor]",
    order: "Sequence[int]",
    sizes: "Sequence[int]",
    weights: Tensor,
) -> list[Tensor]:
    """`Combination.fit` of a linear combination in which stores stand several times.

    Conjugate gradients on the normal equations, preconditioned by their diagonal, from zeros: of
    all nearest stores, the one found leaves slots at 0 that no id reads.

    Args:
        combination: a linear one.
        rows: (N, D) rows wanted.
        slots: one (N,) a place, `PADDING` where an id does not read it.
        order: number of the store that stands at each place.
        sizes: number of slots of the store at each place.
        weights: (N,) positive weights of the ids.

    Returns:
        One (M_j, D_j) a place; the same where the same store stands.
    """
    assert combination.linear, "products of a store with itself have no nearest one in closed form"
    system = _Normal(combination, rows.shape[1], slots, order, sizes, weights.double())
    found = _solved(system, system.adjoint(rows.double()))
    return [
        found[start : start + size].to(rows.dtype)[:, :width]
        for start, size, width in system.places
    ]


class _Normal:
    """The weighted normal equations of all different stores, one below the other."""

    def __init__(
        self,
        combination: "Combination",
        width: int,
        slots: "Sequence[Tensor]",
        order: "Sequence[int]",
        sizes: "Sequence[int]",
        weights: Tensor,
    ) -> None:
        self._combination, self._slots, self._weights = combination, slots, weights[:, None]
        widths = combination.widths(width, len(slots))
        of_store = dict(zip(order, sizes, strict=True))
        starts = {j: sum(of_store[i] for i in of_store if i < j) for j in of_store}
        self.places = [
            (starts[j], size, own) for j, size, own in zip(order, sizes, widths, strict=True)
        ]
        self._shape = sum(of_store.values()), max(widths)

    def adjoint(self, rows: Tensor) -> Tensor:
        """``A' W rows``: (M, D)."""
        total = rows.new_zeros(self._shape)
        parts = self._combination.split(rows * self._weights, [own for *_, own in self.places])
        for part, slots, (start, _, width) in zip(parts, self._slots, self.places, strict=True):
            read = slots >= 0
            total[:, :width].index_add_(0, slots[read] + start, part[read])
        return total

    def times(self, stores: Tensor) -> Tensor:
        """``A' W A stores``: (M, D)."""
        parts = [
            part_of(stores[start : start + size, :width], slots, 0.0)
            for slots, (start, size, width) in zip(self._slots, self.places, strict=True)
        ]
        return self.adjoint(self._combination.join(parts))

    def diagonal(self) -> Tensor:
        """(M, 1) weights of all readings of a slot, 1 where there is none."""
        total = self._weights.new_zeros(self._shape[0])
        for slots, (start, _, _) in zip(self._slots, self.places, strict=True):
            read = slots >= 0
            total.index_add_(0, slots[read] + start, self._weights[read, 0])
        return torch.where(total > 0, total, 1.0)[:, None]


def _solved(system: _Normal, wanted: Tensor) -> Tensor:
    found, residual, diagonal = torch.zeros_like(wanted), wanted, system.diagonal()
    direction = conditioned = residual / diagonal
    slope = (residual * conditioned).sum()
    for _ in range(STEPS):
        if residual.norm() <= NEAR * wanted.norm():
            break
        image = system.times(direction)
        step = slope / (direction * image).sum()
        found, residual = found + step * direction, residual - step * image
        conditioned = residual / diagonal
        before, slope = slope, (residual * conditioned).sum()
        direction = conditioned + slope / before * direction
    return found
