"""Chunks of equal width that stand side by side."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec_embeddings.combinations.concat import Concat

if TYPE_CHECKING:
    from collections.abc import Sequence


class Chunks(Concat):
    """Chunks of one width stand side by side; the last is cut where the row ends."""

    def __init__(self, chunk: int, width: int) -> None:
        """Cuts rows into chunks.

        Args:
            chunk: columns of a chunk.
            width: columns D of a row.
        """
        self.chunk, self.width = chunk, width

    def widths(self, width: int, stores: int) -> tuple[int, ...]:
        """See `Combination.widths`."""
        return (self.chunk,) * stores

    def join(self, parts: "Sequence[Tensor]") -> Tensor:
        """See `Combination.join`."""
        return torch.cat(list(parts), dim=-1)[..., : self.width]

    def split(self, x: Tensor, widths: "Sequence[int]") -> tuple[Tensor, ...]:
        """See `Combination.split`; columns beyond the row count as 0."""
        padded = F.pad(x, (0, self.chunk * len(widths) - self.width))
        return super().split(padded, widths)
