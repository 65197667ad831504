"""Ids in blocks, each with a store of its own."""

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from automl_rec.plugin import PADDING
from automl_rec_embeddings.id_transforms.id_transform import IdTransform, smallest_unsigned

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Blocks(IdTransform):
    """Ids by falling frequency, cut into blocks; an id reads the store of its block alone.

    What is kept of an id is its place among all: the sizes of the blocks tell block and row.
    """

    complete = False
    place: Tensor

    def __init__(self, sizes: "Sequence[int]", counts: "npt.NDArray[np.int64]") -> None:
        """Gives every id its place.

        Args:
            sizes: ids of each block, the most frequent first.
            counts: (N,) frequency of ids; the smaller id comes first where it ties.
        """
        super().__init__()
        self.sizes = tuple(sizes)
        ids = sum(self.sizes)
        self.register_buffer("place", torch.empty(ids, dtype=smallest_unsigned(ids - 1)))
        if not self.place.is_meta:
            places = np.empty(ids, np.int64)
            places[np.argsort(-counts, kind="stable")] = np.arange(ids)
            self.place.copy_(torch.from_numpy(places))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        place = self.place[ids].long()
        ends = tuple(accumulate(self.sizes))
        return tuple(
            torch.where((place < end) & (place >= end - size), place - end + size, PADDING)
            for end, size in zip(ends, self.sizes, strict=True)
        )

    def levels(self) -> dict[str, int]:
        """See `IdTransform.levels`."""
        return {"place": sum(self.sizes)}


def equal_shares(counts: "npt.NDArray[np.int64]", blocks: int) -> list[int]:
    """Sizes of at most so many blocks of ids, by falling frequency, of about equally many events.

    A block ends with the id at which its share is reached; ids without events come last.
    """
    events = np.cumsum(-np.sort(-counts))
    ends = np.searchsorted(events, events[-1] * np.arange(1, blocks) / blocks) + 1
    ends = np.unique(np.minimum(np.append(ends, len(counts)), len(counts)))
    return [int(size) for size in np.diff(ends, prepend=0)]
