"""Batches of positive pairs with their negatives."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from automl_rec.data.sampling import Negatives
from automl_rec.plugin import Catalog, Pairs, Sampling

CHUNK_ITEMS = 1 << 19
"""Items drawn at once: what an epoch holds in memory beside its order."""


class PairBatches:
    """Pairs of a user and one of his different train items."""

    def __init__(self, catalog: Catalog, sampling: Sampling, batch_size: int) -> None:
        self._sampling, self._batch_size = sampling, batch_size
        self._negatives = Negatives(catalog, sampling)
        counts = catalog.user_counts
        self._items = torch.from_numpy(catalog.matrix.indices)
        self._counts = torch.from_numpy(counts)
        self._starts = torch.from_numpy(np.cumsum(counts) - counts)
        self._owners = torch.from_numpy(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
        self._active = torch.from_numpy(np.flatnonzero(counts))

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self._items) / self._batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Pairs]:
        """See `automl_rec.data.batches.Batches`."""
        per_chunk = max(1, CHUNK_ITEMS // ((2 + self._sampling.negatives) * self._batch_size))
        for edges in torch.split(self._order(generator), per_chunk * self._batch_size):
            users, items = self._owners[edges].long(), self._items[edges].long()
            yield from self._cut(users, items, generator)

    def _order(self, generator: torch.Generator) -> Tensor:
        count = len(self._items)
        if self._sampling.draw == "edge" or count == 0:
            return torch.randperm(count, generator=generator)
        users = self._active[torch.randint(len(self._active), (count,), generator=generator)]
        shares = torch.rand(count, dtype=torch.float64, generator=generator)
        return self._starts[users] + (shares * self._counts[users]).long()

    def _cut(self, users: Tensor, items: Tensor, generator: torch.Generator) -> Iterator[Pairs]:
        size, count = self._batch_size, self._sampling.negatives
        if self._sampling.shared:
            for some, theirs in zip(
                torch.split(users, size), torch.split(items, size), strict=True
            ):
                yield Pairs(
                    some, theirs, self._negatives.draw_any(self._sampling.negatives, generator)
                )
            return
        negatives = self._negatives.draw(users, count, generator)
        parts = (torch.split(tensor, size) for tensor in (users, items, negatives))
        yield from (Pairs(*part) for part in zip(*parts, strict=True))
