"""Two rows whose numbers name one id."""

from math import isqrt

import numpy as np
import torch
from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform

SHUFFLE_BYTES = 16
"""Bytes of the shuffle's coefficients."""


class QuotientRemainder(IdTransform):
    """Quotient and remainder of the shuffled id by a divisor; no two ids agree in both.

    The slots of the larger store come first. Ids are shuffled by ``(a x + b) mod p``, p the least
    prime from N on, repeated where it leads to N or above: a permutation of two numbers, so that
    neither ids near each other (of one time, or equally frequent) nor ids at equal distances share
    a row more often than others.

    Source: Shi et al., 2019 (compositional embeddings, eq. 6). The shuffle is ours.
    """

    shuffle: Tensor

    def __init__(self, ids: int, divisor: int, generator: torch.Generator) -> None:
        super().__init__()
        self.ids, self.divisor, self.prime = ids, divisor, prime_from(ids)
        self.sizes = store_sizes(ids, divisor)
        self.register_buffer("shuffle", torch.empty(2, dtype=torch.int64))
        if not self.shuffle.is_meta:
            a = torch.randint(1, self.prime, (), generator=generator)
            b = torch.randint(0, self.prime, (), generator=generator)
            self.shuffle.copy_(torch.stack([a, b]))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        shuffled = self._shuffled(ids)
        quotient = shuffled.div(self.divisor, rounding_mode="floor")
        slots = (quotient, shuffled % self.divisor)
        return slots if self.divisor <= self.sizes[1] else slots[::-1]

    def _shuffled(self, ids: Tensor) -> Tensor:
        a, b = self.shuffle
        places: Tensor = (a * ids + b) % self.prime  # products stay below 2^63 for 2^31 ids
        while bool((outside := places >= self.ids).any()):
            places = torch.where(outside, (a * places + b) % self.prime, places)
        return places


def store_sizes(ids: int, divisor: int) -> tuple[int, int]:
    """Slots of the two stores: the number of quotients and that of remainders, larger first."""
    quotients = -(-ids // divisor)
    return max(quotients, divisor), min(quotients, divisor)


def prime_from(number: int) -> int:
    """The least prime that is not below a number."""
    found = max(number, 2)
    while not (found % np.arange(2, isqrt(found) + 1)).all():
        found += 1
    return found
