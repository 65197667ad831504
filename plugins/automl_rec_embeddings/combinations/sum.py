"""Parts that are added."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.combinations.combination import Combination
from automl_rec_embeddings.combinations.least_squares import SWEEPS, nearest, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence


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
                parts = [part_of(store, s, 0.0) for store, s in zip(stores, slots, strict=True)]
                rest = rows - self.join(parts) + parts[j]
                stores[j] = nearest(rest, torch.ones_like(rest), slots[j], size, weights)
        return stores
