"""Batches of users' last items."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.data.sampling import Negatives
from automl_rec.plugin import PADDING, Catalog, Sampling, Sequences


class SequenceBatches:
    """The last items of every user with at least two of them."""

    def __init__(self, catalog: Catalog, sampling: Sampling, batch_size: int) -> None:
        self._sampling, self._batch_size = sampling, batch_size
        self._negatives = Negatives(catalog, sampling)
        self._histories = catalog.histories
        self._users = np.flatnonzero(catalog.histories.lengths >= 2)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self._users) / self._batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Sequences]:
        """See `automl_rec.data.batches.Batches`."""
        order = torch.randperm(len(self._users), generator=generator).numpy()
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
            return self._negatives.draw_any(self._sampling.negatives, generator)
        owners = users.repeat_interleave(histories.shape[1])
        drawn = self._negatives.draw(owners, self._sampling.negatives, generator)
        return drawn.reshape(*histories.shape, self._sampling.negatives)
