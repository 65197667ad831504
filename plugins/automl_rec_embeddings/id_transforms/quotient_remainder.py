"""Two rows whose numbers name one id."""

import math

import torch
from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform

SHUFFLE_BYTES = 16
"""Bytes of the shuffle's coefficients."""


class QuotientRemainder(IdTransform):
    """Quotient and remainder of the shuffled id by a divisor; no two ids agree in both.

    The slots of the larger store come first. Ids are shuffled by ``(a x + b) mod N`` with a prime
    to N: a permutation of two numbers, so that ids near each other (of one time, or equally
    frequent) do not share a quotient.

    Source: Shi et al., 2019 (compositional embeddings, eq. 6). The shuffle is ours.
    """

    shuffle: Tensor

    def __init__(self, ids: int, divisor: int, generator: torch.Generator) -> None:
        super().__init__()
        self.ids, self.divisor = ids, divisor
        self.sizes = store_sizes(ids, divisor)
        self.register_buffer("shuffle", torch.empty(2, dtype=torch.int64))
        if not self.shuffle.is_meta:
            self.shuffle.copy_(torch.tensor([_prime_to(ids, generator), _below(ids, generator)]))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        a, b = self.shuffle
        shuffled = (a * ids + b) % self.ids  # products stay below 2^63 for 2^31 ids
        quotient = shuffled.div(self.divisor, rounding_mode="floor")
        slots = (quotient, shuffled % self.divisor)
        return slots if self.divisor <= self.sizes[1] else slots[::-1]


def store_sizes(ids: int, divisor: int) -> tuple[int, int]:
    """Slots of the two stores: the number of quotients and that of remainders, larger first."""
    quotients = -(-ids // divisor)
    return max(quotients, divisor), min(quotients, divisor)


def _prime_to(ids: int, generator: torch.Generator) -> int:
    while math.gcd(drawn := 1 + _below(ids, generator), ids) > 1:
        pass
    return drawn


def _below(ids: int, generator: torch.Generator) -> int:
    return int(torch.randint(ids, (), generator=generator))
