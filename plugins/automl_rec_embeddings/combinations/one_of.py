"""One part alone."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.combinations.least_squares import nearest
from automl_rec_embeddings.combinations.sum import Sum

if TYPE_CHECKING:
    from collections.abc import Sequence


class OneOf(Sum):
    """Every id reads one store alone, so that nothing is to be added; `fit` is exact."""

    def initial(self, store: int, stores: int, std: float) -> tuple[float, float]:
        """See `Combination.initial`."""
        return 0.0, std

    def fit(
        self, rows: Tensor, slots: "Sequence[Tensor]", sizes: "Sequence[int]", weights: Tensor
    ) -> list[Tensor]:
        """See `Combination.fit`."""
        ones = torch.ones_like(rows)
        return [
            nearest(rows, ones, own, size, weights) for own, size in zip(slots, sizes, strict=True)
        ]
