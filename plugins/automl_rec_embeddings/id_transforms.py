"""Id transforms: which row of each store an id reads."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from automl_rec.plugin import PADDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

PRIME = 2**31 - 1
"""Modulus of the hash functions: larger than any number of ids that fits in memory."""


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


class Identity(IdTransform):
    """Every id has the slot of its own number."""

    def __init__(self, ids: int) -> None:
        super().__init__()
        self.sizes = (ids,)

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        return (ids,)


class UniversalHash(IdTransform):
    """Independent functions ``((a x + b) mod p) mod m``, one a store.

    Source: Carter and Wegman, 1979; p is the Mersenne prime 2^31 - 1, so that products fit in
    int64. Drawn coefficients keep collisions free of the order of ids, which ``x mod m`` does not.
    """

    coefficients: Tensor

    def __init__(self, sizes: "Sequence[int]", generator: torch.Generator) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.register_buffer("coefficients", torch.empty(len(self.sizes), 2, dtype=torch.int64))
        if not self.coefficients.is_meta:
            a = torch.randint(1, PRIME, (len(self.sizes),), generator=generator)
            b = torch.randint(0, PRIME, (len(self.sizes),), generator=generator)
            self.coefficients.copy_(torch.stack([a, b], dim=1))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        a, b = self.coefficients.T
        return tuple(
            (a[j] * ids + b[j]) % PRIME % size  # products stay below 2^62
            for j, size in enumerate(self.sizes)
        )


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


def smallest_unsigned(largest: int) -> torch.dtype:
    """The smallest unsigned integer type that holds ``largest``."""
    types = (torch.uint8, torch.uint16, torch.uint32)
    return next(kind for kind in types if largest <= torch.iinfo(kind).max)
