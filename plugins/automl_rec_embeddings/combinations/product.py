"""Parts that are multiplied."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.combinations.combination import Combination
from automl_rec_embeddings.combinations.least_squares import SWEEPS, nearest, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence


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
                parts = [part_of(store, s, 1.0) for store, s in zip(stores, slots, strict=True)]
                others = [part for i, part in enumerate(parts) if i != j]
                factors = self.join(others) if others else torch.ones_like(rows)
                stores[j] = nearest(rows, factors, slots[j], size, weights)
        return stores
