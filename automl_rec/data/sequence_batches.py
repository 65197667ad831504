"""Batches of what users met, one item after the other."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.data.sampling import Negatives
from automl_rec.plugin import PADDING, Catalog, Sampling, Sequences

SHORTEST_CUT = 4
"""Items before the target of a cut sequence, where the user has as many."""

Places = npt.NDArray[np.int64]


class SequenceBatches:
    """Windows of the histories of every user with at least two items.

    A window ends at a target; the L items before it are its history. Drawn by edge, windows lie
    end to end from the user's last item backwards, so that every item but the first is a target
    once an epoch; cut ones end at every item, the first few left out. Drawn by user, each user
    has one window an epoch, its end drawn uniformly: from the items with L before them, or where
    it is cut from all but the first few.
    """

    def __init__(self, catalog: Catalog, sampling: Sampling, batch_size: int) -> None:
        self._sampling, self._batch_size = sampling, batch_size
        self._negatives = Negatives(catalog, sampling)
        self._histories = catalog.histories
        users = np.flatnonzero(catalog.histories.lengths >= 2)
        last = catalog.histories.indptr[users + 1] - 1
        shortest = SHORTEST_CUT if sampling.cut else sampling.length
        first = np.minimum(catalog.histories.indptr[users] + shortest, last)
        if sampling.draw == "user":
            self._users, self._first, self._last = users, first, last
        else:
            step = 1 if sampling.cut else sampling.length
            self._users, self._first = _spread(users, first, last, step)
            self._last = self._first

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self._users) / self._batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Sequences]:
        """See `automl_rec.data.batches.Batches`."""
        order = torch.randperm(len(self._users), generator=generator).numpy()
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            ends = _between(self._first[chosen], self._last[chosen], generator)
            yield self._batch(self._users[chosen], ends, generator)

    def _batch(self, users: Places, ends: Places, generator: torch.Generator) -> Sequences:
        starts = self._histories.indptr[users, None]
        longest = min(self._sampling.length, int((ends - starts[:, 0]).max()))
        places = np.arange(-longest, 0) + ends[:, None]  # (B, L)
        known = places >= starts
        items = self._histories.items
        histories = np.where(known, items[np.maximum(places, 0)], PADDING).astype(np.int64)
        if self._sampling.cut:
            known[:, :-1] = False
        targets = np.full(known.shape, PADDING, np.int64)
        targets[known] = items[self._followers(users, places, known, generator)]
        wanted, owners = torch.from_numpy(known), torch.from_numpy(users)
        negatives = self._drawn(owners, wanted, generator)
        return Sequences(owners, torch.from_numpy(histories), torch.from_numpy(targets), negatives)

    def _followers(
        self,
        users: Places,
        places: Places,
        known: npt.NDArray[np.bool_],
        generator: torch.Generator,
    ) -> Places:
        """(P,) the place of the target of each known place."""
        wanted = places[known]
        if self._sampling.horizon == 1:
            return wanted + 1
        last = self._histories.indptr[users + 1] - 1
        final = np.repeat(last, known.sum(1))
        return _between(wanted + 1, np.minimum(wanted + self._sampling.horizon, final), generator)

    def _drawn(self, users: Tensor, wanted: Tensor, generator: torch.Generator) -> Tensor:
        """Negatives of the places with a target, `PADDING` elsewhere."""
        count = self._sampling.negatives
        if self._sampling.shared:
            return self._negatives.draw_any(count, generator)
        drawn = torch.full((*wanted.shape, count), PADDING)
        owners = users.repeat_interleave(wanted.sum(1))
        drawn[wanted] = self._negatives.draw(owners, count, generator)
        return drawn[:, -1:] if self._sampling.cut else drawn


def _spread(users: Places, first: Places, last: Places, step: int) -> tuple[Places, Places]:
    """Users, repeated, with the places last, last - step, ... of each.

    The lowest is the first of these that is not above ``first``.
    """
    counts = (last - first + step - 1) // step + 1
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(users, counts), np.repeat(last, counts) - step * offsets


def _between(low: Places, high: Places, generator: torch.Generator) -> Places:
    """Whole numbers drawn uniformly from low (P,) to high (P,), both included."""
    room = high - low
    if not room.any():
        return low
    shares = torch.rand(len(low), dtype=torch.float64, generator=generator).numpy()
    return np.asarray(low + np.minimum((shares * (room + 1)).astype(np.int64), room))
