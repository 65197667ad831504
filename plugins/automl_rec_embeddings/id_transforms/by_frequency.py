"""Ids in the order of their frequency."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform, smallest_unsigned

if TYPE_CHECKING:
    import numpy.typing as npt


class ByFrequency(IdTransform):
    """An id's place among all by falling frequency; the smaller id comes first where it ties."""

    place: Tensor

    def __init__(self, counts: "npt.NDArray[np.int64]") -> None:
        super().__init__()
        self.sizes = (len(counts),)
        kind = smallest_unsigned(len(counts) - 1)
        self.register_buffer("place", torch.empty(len(counts), dtype=kind))
        if not self.place.is_meta:
            places = np.empty(len(counts), np.int64)
            places[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
            self.place.copy_(torch.from_numpy(places))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        return (self.place[ids].long(),)

    def levels(self) -> dict[str, int]:
        """See `IdTransform.levels`."""
        return {"place": len(self.place)}


def equal_shares(counts: "npt.NDArray[np.int64]", blocks: int) -> list[int]:
    """Sizes of at most so many blocks of ids, by falling frequency, of about equally many events.

    A block ends with the id at which its share is reached; ids without events come last.
    """
    events = np.cumsum(-np.sort(-counts))
    ends = np.searchsorted(events, events[-1] * np.arange(1, blocks) / blocks) + 1
    ends = np.unique(np.append(ends, len(counts)))
    return [int(size) for size in np.diff(ends, prepend=0)]
