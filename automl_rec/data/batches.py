"""Batches: the train part as a model learns from it, one epoch at a time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.data.sampling import Negatives
from automl_rec.plugin import PADDING, Catalog, Pairs, Sampling, Sequences

CHUNK_ITEMS = 1 << 19
"""Items drawn at once: what an epoch holds in memory beside its order."""


class Batches(ABC):
    """The batches of a catalog.

    `epoch` draws everything it needs from its generator, so equal seeds give equal batches.
    """

    def __init__(self, catalog: Catalog, sampling: Sampling, batch_size: int) -> None:
        if sampling.shared and sampling.sampler == "uniform-rejecting":
            raise ValueError(
                "negatives that a batch shares cannot be rejected for one user: "
                "choose the sampler uniform or popularity"
            )
        self._sampling, self._batch_size = sampling, batch_size
        self._negatives = Negatives(catalog, sampling)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(self._positives() / self._batch_size)

    @abstractmethod
    def epoch(self, generator: torch.Generator) -> Iterator[Pairs | Sequences]:
        """The batches of one epoch, the last one perhaps smaller."""

    @abstractmethod
    def _positives(self) -> int:
        """Number of positives in an epoch."""

    def _shared(self, generator: torch.Generator) -> Tensor:
        return self._negatives.draw_any(self._sampling.negatives, generator)


def batches_of(catalog: Catalog, sampling: Sampling, batch_size: int) -> Batches:
    """The batches a sampling asks for.

    Args:
        catalog: the train part.
        sampling: what the model learns from.
        batch_size: pairs, or sequences, in a batch.
    """
    kind = _PairBatches if sampling.batch == "pairs" else _SequenceBatches
    return kind(catalog, sampling, batch_size)


class _PairBatches(Batches):
    """Pairs of a user and one of his different train items."""

    def __init__(self, catalog: Catalog, sampling: Sampling, batch_size: int) -> None:
        super().__init__(catalog, sampling, batch_size)
        counts = catalog.user_counts
        self._items = torch.from_numpy(catalog.matrix.indices)
        self._counts = torch.from_numpy(counts)
        self._starts = torch.from_numpy(np.cumsum(counts) - counts)
        self._owners = torch.from_numpy(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
        self._active = torch.from_numpy(np.flatnonzero(counts))

    def _positives(self) -> int:
        return len(self._items)

    def epoch(self, generator: torch.Generator) -> Iterator[Pairs]:
        """See `Batches.epoch`."""
        per_chunk = max(1, CHUNK_ITEMS // ((2 + self._sampling.negatives) * self._batch_size))
        for edges in torch.split(self._order(generator), per_chunk * self._batch_size):
            users, items = self._owners[edges].long(), self._items[edges].long()
            yield from self._cut(users, items, generator)

    def _order(self, generator: torch.Generator) -> Tensor:
        count = self._positives()
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
                yield Pairs(some, theirs, self._shared(generator))
            return
        negatives = self._negatives.draw(users, count, generator)
        parts = (torch.split(tensor, size) for tensor in (users, items, negatives))
        yield from (Pairs(*part) for part in zip(*parts, strict=True))


class _SequenceBatches(Batches):
    """The last items of every user with at least two of them."""

    def __init__(self, catalog: Catalog, sampling: Sampling, batch_size: int) -> None:
        super().__init__(catalog, sampling, batch_size)
        self._histories = catalog.histories
        self._users = np.flatnonzero(catalog.histories.lengths >= 2)

    def _positives(self) -> int:
        return len(self._users)

    def epoch(self, generator: torch.Generator) -> Iterator[Sequences]:
        """See `Batches.epoch`."""
        order = torch.randperm(self._positives(), generator=generator).numpy()
        for start in range(0, len(order), self._batch_size):
            users = self._users[order[start : start + self._batch_size]]
            yield self._batch(users, generator)

    def _batch(self, users: npt.NDArray[np.int64], generator: torch.Generator) -> Sequences:
        window = torch.from_numpy(self._window(users))
        histories = window[:, :-1]
        targets = window[:, 1:].where(histories >= 0, PADDING)
        numbers = torch.from_numpy(users)
        return Sequences(numbers, histories, targets, self._drawn(numbers, histories, generator))

    def _window(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(B, L + 1) last items, L no longer than the longest history needs."""
        starts, ends = self._histories.indptr[users], self._histories.indptr[users + 1]
        longest = min(self._sampling.length + 1, int((ends - starts).max()))
        places = np.arange(-longest, 0) + ends[:, None]
        items = self._histories.items[np.maximum(places, 0)]
        return np.where(places >= starts[:, None], items, PADDING).astype(np.int64)

    def _drawn(self, users: Tensor, histories: Tensor, generator: torch.Generator) -> Tensor:
        if self._sampling.shared:
            return self._shared(generator)
        owners = users.repeat_interleave(histories.shape[1])
        drawn = self._negatives.draw(owners, self._sampling.negatives, generator)
        return drawn.reshape(*histories.shape, self._sampling.negatives)
