"""Stores one below the other."""

from itertools import accumulate
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from automl_rec_embeddings.row_stores.row_store import RowStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automl_rec.plugin import Weight


class StackedRows(RowStore):
    """Stores of one width, one below the other: the slots of the second follow the first's."""

    def __init__(self, stores: "Sequence[RowStore]") -> None:
        super().__init__(sum(store.size for store in stores), stores[0].width)
        self.blocks = nn.ModuleList(stores)
        self.exact = all(store.exact for store in stores)
        self.computed = any(store.computed for store in stores)

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`; each store is read at its own slots alone."""
        places, rows = [], []
        for store, end in zip(self._stores, self._ends, strict=True):
            first = end - store.size
            at = ((slots >= first) & (slots < end)).nonzero()[:, 0]
            places.append(at)
            rows.append(store.read(slots[at] - first))
        order = torch.empty_like(slots)
        order[torch.cat(places)] = torch.arange(len(slots))
        return torch.cat(rows).index_select(0, order)

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`."""
        for store in self._stores:
            store.initialise(mean, std, generator)

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`."""
        sizes = [store.size for store in self._stores]
        for store, own in zip(self._stores, rows.split(sizes), strict=True):
            store.assign(own)

    def weights(self) -> "tuple[Weight, ...]":
        """See `RowStore.weights`."""
        return tuple(weight for store in self._stores for weight in store.weights())

    def rows(self) -> Tensor:
        """See `RowStore.rows`."""
        return torch.cat([store.rows() for store in self._stores])

    def score(self, x: Tensor) -> Tensor:
        """See `RowStore.score`."""
        return torch.cat([store.score(x) for store in self._stores], dim=-1)

    def settle(self) -> None:
        """See `RowStore.settle`."""
        for store in self._stores:
            store.settle()

    def operations(self) -> float:
        """See `RowStore.operations`: of a slot drawn at random."""
        return sum(store.size / self.size * store.operations() for store in self._stores)

    @property
    def _stores(self) -> list[RowStore]:
        return cast("list[RowStore]", list(self.blocks))

    @property
    def _ends(self) -> list[int]:
        return list(accumulate(store.size for store in self._stores))
