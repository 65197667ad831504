"""Rows drawn by hash functions."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform

if TYPE_CHECKING:
    from collections.abc import Sequence


PRIME = 2**31 - 1
"""Modulus of the hash functions: larger than any number of ids that fits in memory."""

COEFFICIENT_BYTES = 16
"""Bytes of one function's coefficients."""


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

    def levels(self) -> dict[str, int]:
        """See `IdTransform.levels`."""
        return {"coefficients": PRIME}
