"""The digits of an id."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform

if TYPE_CHECKING:
    from collections.abc import Sequence


class MixedRadix(IdTransform):
    """An id's digits in a number system of mixed bases, the most significant first.

    Ids are different combinations of digits; neighbouring ids share all but the last.
    """

    def __init__(self, bases: "Sequence[int]") -> None:
        super().__init__()
        self.sizes = tuple(bases)

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        digits = []
        for base in reversed(self.sizes):
            digits.append(ids % base)
            ids = torch.div(ids, base, rounding_mode="floor")
        return tuple(reversed(digits))
