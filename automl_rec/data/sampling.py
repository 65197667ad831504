"""Negative items: drawn for positives, outside what the user has met where asked."""

import numpy as np
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Sampling

BITMAP_PLACES = 1 << 25
"""Users times items up to which every pair has its own byte; beyond, pairs are searched."""


class Negatives:
    """Draws items as a sampling asks.

    Rejecting draws repeat what the user has met until nothing is left to repeat; a user who has met
    every item gets any of them.
    """

    def __init__(self, catalog: Catalog, sampling: Sampling) -> None:
        if sampling.shared and sampling.sampler == "uniform-rejecting":
            raise ValueError(
                "negatives that a batch shares cannot be rejected for one user: "
                "choose the sampler uniform or popularity"
            )
        self._num_items = catalog.num_items
        self._met = None
        self._cumulative = None
        if sampling.negatives == 0:
            return
        if sampling.sampler == "uniform-rejecting":
            self._met = _Met(catalog)
        elif sampling.sampler == "popularity":
            weights = catalog.item_counts.astype(np.float64) ** sampling.exponent
            self._cumulative = torch.from_numpy(np.cumsum(weights))

    def draw(self, users: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Items for users (B,) int64: (B, count) int64."""
        drawn = self.draw_any(len(users) * count, generator)
        if self._met is not None:
            owners = users.repeat_interleave(count)
            self._redraw(self._met, owners, drawn, generator)
        return drawn.reshape(len(users), count)

    def draw_any(self, count: int, generator: torch.Generator) -> Tensor:
        """Items for nobody in particular: (count,) int64, nothing rejected."""
        if self._cumulative is None:
            return torch.randint(self._num_items, (count,), generator=generator)
        places = torch.rand(count, dtype=torch.float64, generator=generator)
        drawn = torch.searchsorted(self._cumulative, places * self._cumulative[-1], right=True)
        return drawn.clamp(max=self._num_items - 1)

    def _redraw(
        self, met: "_Met", owners: Tensor, drawn: Tensor, generator: torch.Generator
    ) -> None:
        pending = met.holds(owners, drawn).nonzero().squeeze(1)
        while len(pending) > 0:
            again = self.draw_any(len(pending), generator)
            drawn[pending] = again
            pending = pending[met.holds(owners[pending], again)]


class _Met:
    """Which items each user met in train; nothing for a user who met them all."""

    def __init__(self, catalog: Catalog) -> None:
        matrix, self._num_items = catalog.matrix, catalog.num_items
        counts = catalog.user_counts
        owners = np.repeat(np.arange(catalog.num_users), counts)
        keys = torch.from_numpy(owners * self._num_items + matrix.indices)
        if bool((counts == self._num_items).any()):
            keys = keys[torch.from_numpy(counts[owners] < self._num_items)]
        self._keys = keys
        self._bitmap = None
        places = catalog.num_users * self._num_items
        if places <= BITMAP_PLACES:
            self._bitmap = torch.zeros(places, dtype=torch.bool)
            self._bitmap[keys] = True

    def holds(self, users: Tensor, items: Tensor) -> Tensor:
        """Whether users (B,) met items (B,): (B,) bool."""
        wanted = users * self._num_items + items
        if self._bitmap is not None:
            return self._bitmap[wanted]
        if len(self._keys) == 0:
            return torch.zeros(len(wanted), dtype=torch.bool)
        found = torch.searchsorted(self._keys, wanted).clamp(max=len(self._keys) - 1)
        return self._keys[found] == wanted
