"""What every id transform does."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class IdTransform(nn.Module, ABC):
    """From an id to one slot in each store.

    Attributes:
        sizes: number of slots of each store.
        complete: whether every id reads every store, so that no slot is ever `PADDING`.
    """

    sizes: tuple[int, ...]
    complete: bool = True

    @abstractmethod
    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """Slots of ids (B,) int64: one (B,) int64 a store, `PADDING` where none is read."""

    def levels(self) -> dict[str, int]:
        """See `automl_rec.plugin.Table.levels`; of its own tensors."""
        return {}


def smallest_unsigned(largest: int) -> torch.dtype:
    """The smallest unsigned integer type that holds ``largest``."""
    types = (torch.uint8, torch.uint16, torch.uint32)
    return next(kind for kind in types if largest <= torch.iinfo(kind).max)
