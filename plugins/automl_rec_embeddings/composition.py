"""Tables composed of an id transform, row stores, a combination and an output map."""

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import PADDING, Field, Table, Use, Weight
from automl_rec_embeddings.combinations.conjugate_gradient import fit_together
from automl_rec_embeddings.id_transforms.id_transform import IdTransform
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.train_weights import train_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automl_rec_embeddings.combinations.combination import Combination
    from automl_rec_embeddings.output_maps.output_map import OutputMap
    from automl_rec_embeddings.row_stores.row_store import RowStore

CHUNK_ROWS = 65536
"""Rows computed at once where all are wanted."""


class ComposedTable(Table):
    """``output(combine(store_1[slot_1(id)], ..., store_k[slot_k(id)]))``.

    Scoring all rows multiplies the stores and spreads the products over the ids, so that its cost
    is that of the stored rows. Where the combination is not linear, or a store computes its rows,
    they are computed once an evaluation instead, and lookups that are long compute an id once a
    batch.

    A store may be read at several slots of an id, and by several tables.
    """

    def __init__(
        self,
        field: Field,
        transform: IdTransform,
        stores: "Sequence[RowStore]",
        combination: "Combination",
        output: "OutputMap",
        generator: torch.Generator,
        *,
        shared: bool = False,
    ) -> None:
        """Puts the parts together and draws the values of the stores.

        Args:
            field: whose table it is.
            transform: names a slot in each store.
            stores: as many as the transform has sizes; of the widths the combination wants.
            combination: of what is read.
            output: to the width of the field.
            generator: of the initial values.
            shared: whether the stores belong to an earlier table, which draws, prices and settles
                them.
        """
        super().__init__(field)
        self.transform, self.combination, self.output = transform, combination, output
        self._field, self._stores = field, tuple(stores)
        self.stores = nn.ModuleList(() if shared else dict.fromkeys(stores))
        self.exact = not shared and isinstance(transform, Identity) and stores[0].exact
        self.exact = self.exact and not output.weights()
        self._computed = self._computes()
        if not shared:
            for store in dict.fromkeys(stores):
                mean, std = combination.initial(stores.index(store), len(stores), field.std)
                store.initialise(mean, std, generator)
        self._slots: tuple[Tensor, ...] | None = None
        self._rows: Tensor | None = None
        self._versions: list[tuple[Tensor, int]] = []
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def read(self, ids: Tensor) -> Tensor:
        """See `Table.read`."""
        if not self._is_laborious():
            return self._mapped(self._combined(self.transform(ids)))
        different, places = ids.unique(return_inverse=True)
        if self._wants_every(len(different)):
            return self._mapped(self._stored().index_select(0, ids))
        return self._mapped(self._combined(self.transform(different))).index_select(0, places)

    def rows(self) -> Tensor:
        """See `Table.rows`."""
        return self._mapped(self._stored())

    def score(self, x: Tensor) -> Tensor:
        """See `Table.score`."""
        inner = self.output.pull_back(x)
        if self._computed:
            return inner @ self._stored().T
        if isinstance(self.transform, Identity):
            return self._stores[0].score(inner)
        parts = self.combination.split(inner, [store.width for store in self._stores])
        products = self._products(parts)
        scores = [self._spread(p, s) for p, s in zip(products, self._all_slots(), strict=True)]
        return sum(scores[1:], start=scores[0])

    def assign(self, rows: Tensor) -> None:
        """See `Table.assign`: the output map first, then the stores, weighted by train counts."""
        self._rows = None
        stored = self.output.fit(rows)
        if isinstance(self.transform, Identity):
            self._stores[0].assign(stored)
            return
        weights = train_weights(self._field)
        slots, sizes = self._all_slots(), self.transform.sizes
        order = [self._stores.index(store) for store in self._stores]
        if len(set(order)) < len(order):
            fitted = fit_together(self.combination, stored, slots, order, sizes, weights)
        else:
            fitted = self.combination.fit(stored, slots, sizes, weights)
        if self.combination.linear:
            self._store(fitted)
        else:
            self._store_if_nearer(fitted, stored, weights)

    def weights(self) -> tuple[Weight, ...]:
        """See `Table.weights`."""
        own = cast("list[RowStore]", list(self.stores))
        return tuple(w for store in own for w in store.weights()) + self.output.weights()

    def settle(self) -> None:
        """See `Table.settle`."""
        self._rows = None
        for store in cast("list[RowStore]", list(self.stores)):
            store.settle()
        self._computed = self._computes()

    def levels(self) -> dict[str, int]:
        """See `Table.levels`."""
        return {
            f"{path}.{name}": count
            for path, part in self.named_modules()
            if isinstance(part, IdTransform)
            for name, count in part.levels().items()
        }

    def operations(self) -> float:
        """See `Table.operations`."""
        computed = sum(store.operations() for store in self._stores)
        computed += self.combination.operations([store.width for store in self._stores])
        total = self._field.lookups * computed
        if self._field.scored and any(store.computed for store in self._stores):
            total += self.num_rows * self.output.stored_width
        return total

    def train(self, mode: bool = True) -> "ComposedTable":  # noqa: FBT001, FBT002 - torch's own
        """Sets the mode, and forgets the rows computed under the former one."""
        self._rows = None
        super().train(mode)
        return self

    def _computes(self) -> bool:
        return not self.combination.linear or any(store.computed for store in self._stores)

    def _is_laborious(self) -> bool:
        """Whether it is worth finding the different ids of a batch."""
        if any(store.computed for store in self._stores):
            return True
        return self.combination.operations([store.width for store in self._stores]) > 0

    def _mapped(self, stored: Tensor) -> Tensor:
        rows: Tensor = self.output(stored)
        return rows

    def _stored(self) -> Tensor:
        """All rows before the output map; kept while nothing is trained, if they are computed."""
        if isinstance(self.transform, Identity) and not self._computed:
            return self._stores[0].rows()
        if self.training or torch.is_grad_enabled() or not self._computed:
            every = self.combination.every(self._stores)
            if every is None:
                return self._combined(self._all_slots())
            return torch.cat(list(every))[: self.num_rows]
        if self._rows is None or not self._current():
            self._rows = self._computed_rows()
            self._versions = [(part, version_of(part)) for part in self._parts()]
        return self._rows

    def _computed_rows(self) -> Tensor:
        pieces = self.combination.every(self._stores)
        if pieces is None:
            ids = torch.arange(self.num_rows).split(CHUNK_ROWS)
            pieces = (self._combined(self.transform(some)) for some in ids)
        rows, start = torch.empty(self.num_rows, self.output.stored_width), 0
        for piece in pieces:  # one copy of all rows is large enough
            kept = piece[: self.num_rows - start]
            rows[start : start + len(kept)] = kept
            start += len(kept)
        return rows

    def _wants_every(self, ids: int) -> bool:
        """Whether all rows cost less than the rows of so many ids."""
        widths = [store.width for store in self._stores]
        all_of_them = self.combination.operations_of_all(self.num_rows, widths)
        return ids * self.combination.operations(widths) > all_of_them

    def _current(self) -> bool:
        """Whether no tensor of the stores was replaced or written to since rows were computed.

        Another table may have written to stores that are shared.
        """
        now = self._parts()
        return len(now) == len(self._versions) and all(
            part is before and version_of(part) == version
            for part, (before, version) in zip(now, self._versions, strict=True)
        )

    def _parts(self) -> list[Tensor]:
        states = (store.state_dict(keep_vars=True) for store in self._stores)
        return [part for state in states for part in state.values()]

    def _combined(self, slots: tuple[Tensor, ...]) -> Tensor:
        if self.transform.complete:
            return self.combination.read(self._stores, slots)
        pairs = zip(self._stores, slots, strict=True)
        return self.combination.join([self._part(store, at) for store, at in pairs])

    def _store(self, values: "Sequence[Tensor]") -> None:
        for store, own in zip(self._stores, values, strict=True):
            store.assign(own)

    @torch.no_grad()
    def _store_if_nearer(self, values: "Sequence[Tensor]", rows: Tensor, weights: Tensor) -> None:
        """Stores what was fitted, unless what is stored already comes nearer to the rows.

        The fit of a combination that is not linear need not end in the best place.
        """
        before, stored = self._error(rows, weights), [s.rows().clone() for s in self._stores]
        self._store(values)
        if self._error(rows, weights) > before:
            self._store(stored)

    def _error(self, rows: Tensor, weights: Tensor) -> Tensor:
        return (weights[:, None] * (self._stored() - rows).square()).sum()

    def _products(self, parts: "Sequence[Tensor]") -> list[Tensor]:
        """Scores of the slots of each store, (..., M_j); no product is computed twice."""
        known: dict[tuple[int, int], Tensor] = {}
        for store, part in zip(self._stores, parts, strict=True):
            if (id(store), id(part)) not in known:
                known[id(store), id(part)] = store.score(part)
        pairs = zip(self._stores, parts, strict=True)
        return [known[id(store), id(part)] for store, part in pairs]

    def _part(self, store: "RowStore", slots: Tensor) -> Tensor:
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


def use_of(field: Field, size: int, combination: "Combination") -> Use:
    """How often a store of some size is read for a field.

    Args:
        field: whose table reads it.
        size: slots of the store.
        combination: of the table; one that is not linear is multiplied row by row.
    """
    products = 1.0 if combination.linear else field.num_rows / size
    return Use(products=products * field.scored, rows=field.lookups)


def version_of(tensor: Tensor) -> int:
    """How often torch has seen the tensor written to."""
    return tensor._version  # noqa: SLF001 - torch has no public name for it


def _forget(table: nn.Module, _: Any) -> None:
    composed = cast("ComposedTable", table)
    composed._slots = composed._rows = None  # noqa: SLF001 - this module's own class
