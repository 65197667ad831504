"""Tables composed of an id transform, row stores, a combination and an output map."""

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import PADDING, Field, Table, Use, Weight
from automl_rec_embeddings.id_transforms import Identity, IdTransform
from automl_rec_embeddings.row_stores import StoredRows

if TYPE_CHECKING:
    from automl_rec_embeddings.combinations import Combination
    from automl_rec_embeddings.output_maps import OutputMap


class ComposedTable(Table):
    """``output(combine(store_1[slot_1(id)], ..., store_k[slot_k(id)]))``.

    Scoring all rows multiplies the stores and spreads the products over the ids, so that its cost
    is that of the stored rows, unless the combination is not linear.
    """

    def __init__(
        self,
        field: Field,
        transform: IdTransform,
        combination: "Combination",
        output: "OutputMap",
        generator: torch.Generator,
    ) -> None:
        super().__init__(field)
        self.transform, self.combination, self.output = transform, combination, output
        widths = combination.widths(output.stored_width, len(transform.sizes))
        stores = [self._store(field, j, width, generator) for j, width in enumerate(widths)]
        self.stores = nn.ModuleList(stores)
        self._counts = field.counts
        self._slots: tuple[Tensor, ...] | None = None
        self.register_load_state_dict_post_hook(_forget_slots)  # type: ignore[no-untyped-call]

    def read(self, ids: Tensor) -> Tensor:
        """See `Table.read`."""
        return self._mapped(self._combined(self.transform(ids)))

    def rows(self) -> Tensor:
        """See `Table.rows`."""
        if isinstance(self.transform, Identity):
            return self._mapped(self._stores[0].rows())
        return self._mapped(self._combined(self._all_slots()))

    def score(self, x: Tensor) -> Tensor:
        """See `Table.score`."""
        inner = self.output.pull_back(x)
        if isinstance(self.transform, Identity):
            return self._stores[0].score(inner)
        if not self.combination.linear:
            return inner @ self._combined(self._all_slots()).T
        parts = self.combination.split(inner, [store.width for store in self._stores])
        scores = [
            self._spread(store.score(part), slots)
            for store, part, slots in zip(self._stores, parts, self._all_slots(), strict=True)
        ]
        return sum(scores[1:], start=scores[0])

    def assign(self, rows: Tensor) -> None:
        """See `Table.assign`: the output map first, then the stores, weighted by train counts."""
        stored = self.output.fit(rows)
        weights = torch.ones(self.num_rows, dtype=stored.dtype)
        if self._counts is not None:
            # One more than counted: an id without an event may have its slots to itself.
            weights += torch.from_numpy(self._counts)
        sizes = self.transform.sizes
        fitted = self.combination.fit(stored, self._all_slots(), sizes, weights)
        for store, values in zip(self._stores, fitted, strict=True):
            store.assign(values)

    def weights(self) -> tuple[Weight, ...]:
        """See `Table.weights`."""
        stored = tuple(weight for store in self._stores for weight in store.weights())
        return stored + self.output.weights()

    @property
    def _stores(self) -> list[StoredRows]:
        return cast("list[StoredRows]", list(self.stores))

    def _store(
        self, field: Field, index: int, width: int, generator: torch.Generator
    ) -> StoredRows:
        sizes = self.transform.sizes
        name = f"{field.name}.store" + (f"-{index + 1}" if index else "")
        products = 1.0 if self.combination.linear else field.num_rows / sizes[index]
        use = Use(products=products * field.scored, rows=field.lookups)
        store = StoredRows(name, sizes[index], width, use)
        store.initialise(*self.combination.initial(index, len(sizes), field.std), generator)
        return store

    def _mapped(self, stored: Tensor) -> Tensor:
        rows: Tensor = self.output(stored)
        return rows

    def _combined(self, slots: tuple[Tensor, ...]) -> Tensor:
        pairs = zip(self._stores, slots, strict=True)
        return self.combination.join([self._part(store, at) for store, at in pairs])

    def _part(self, store: StoredRows, slots: Tensor) -> Tensor:
        if self.transform.complete:
            return store.read(slots)
        rows = store.read(slots.clamp(min=0))
        unread = slots == PADDING
        return torch.where(unread[:, None], self.combination.absent, rows)

    def _spread(self, scores: Tensor, slots: Tensor) -> Tensor:
        """Scores of ids (..., N) from scores of slots (..., M); 0 where an id reads none."""
        if self.transform.complete:
            return scores.index_select(-1, slots)
        # Modulo M + 1, PADDING is the column of zeros that is put at the end.
        return F.pad(scores, (0, 1)).index_select(-1, slots % (scores.shape[-1] + 1))

    def _all_slots(self) -> tuple[Tensor, ...]:
        if self._slots is None:
            self._slots = self.transform(torch.arange(self.num_rows))
        return self._slots


def _forget_slots(table: nn.Module, _: Any) -> None:
    cast("ComposedTable", table)._slots = None  # noqa: SLF001 - this module's own class
