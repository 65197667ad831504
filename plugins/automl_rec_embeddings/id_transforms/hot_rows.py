"""Rows of their own for frequent ids."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from automl_rec.plugin import PADDING
from automl_rec_embeddings.id_transforms.id_transform import IdTransform, smallest_unsigned

if TYPE_CHECKING:
    import numpy.typing as npt


class HotRows(IdTransform):
    """Own slots for the most frequent ids, another transform for the rest.

    Own slots come first in a store. Ties in frequency are broken by the smaller id.

    Source: the frequency-aware hashing common in industry, published as AdaptEmb.
    """

    remap: Tensor

    def __init__(
        self, cold: IdTransform, counts: "npt.NDArray[np.int64]", hot: int, *, in_every_store: bool
    ) -> None:
        """Reserves slots.

        Args:
            cold: transform of all other ids.
            counts: (N,) frequency of ids.
            hot: number of ids with slots of their own.
            in_every_store: whether such an id has a slot in each store, or in the first alone.
        """
        super().__init__()
        self.cold, self.hot, self.in_every_store = cold, hot, in_every_store
        self.complete = in_every_store or len(cold.sizes) == 1
        own = [hot if j == 0 or in_every_store else 0 for j in range(len(cold.sizes))]
        self.sizes = tuple(size + first for size, first in zip(cold.sizes, own, strict=True))
        self.register_buffer("remap", torch.empty(len(counts), dtype=smallest_unsigned(hot)))
        if not self.remap.is_meta:
            slots = np.full(len(counts), hot)
            slots[np.argsort(-counts, kind="stable")[:hot]] = np.arange(hot)
            self.remap.copy_(torch.from_numpy(slots))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        own = self.remap[ids].long()
        hot = own < self.hot
        return tuple(
            torch.where(hot, own, self.hot + slots)
            if j == 0 or self.in_every_store
            else torch.where(hot, PADDING, slots)
            for j, slots in enumerate(self.cold(ids))
        )

    def levels(self) -> dict[str, int]:
        """See `IdTransform.levels`: an own slot, or none."""
        return {"remap": self.hot + 1}
