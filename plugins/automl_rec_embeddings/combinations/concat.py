"""Parts that stand side by side."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.combinations.combination import Combination
from automl_rec_embeddings.combinations.least_squares import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


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
            nearest(part, torch.ones_like(part), s, size, weights)
            for part, s, size in zip(parts, slots, sizes, strict=True)
        ]
