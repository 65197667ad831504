"""Tables of which a budget of entries is kept: what their schemes have in common."""

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch

from automl_rec.plugin import (
    Field,
    Form,
    Interval,
    Phase,
    Precision,
    Table,
    Use,
    Weight,
    dense_form,
    layout_bytes,
)
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.sizing import SizedEmbedding, Structure, full_bytes, most

if TYPE_CHECKING:
    from automl_rec_embeddings.row_stores.pruned_rows import PrunedRows

SEARCH_THEN_RETRAIN = (Phase("search", 0.5), Phase("retrain", 0.5, start="initial"))


class PrunedEmbedding(SizedEmbedding):
    """Identity, and rows of full width of which the budget's number of entries is served.

    A search learns which; with a second phase, the rows are then trained anew from their initial
    values with the selection fixed. A training that ends during the search serves the entries that
    are selected by then.
    """

    def __init__(self, precision: Precision, budget: float, *, retrain: bool) -> None:
        super().__init__(precision, budget)
        self._retrain, self._searching = retrain, True
        self._stores: list[PrunedRows] = []

    @abstractmethod
    def store(self, weight: Weight, field: Field, kept: int) -> "PrunedRows":
        """The rows of a field, of which so many entries are kept."""

    def form(self, field: Field, kept: int) -> Form:
        """What so many kept entries of a field will occupy, before they are encoded."""
        return dense_form(field.num_rows, field.width).kept(Interval(kept, kept))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`; one, where every table stays full."""
        return SEARCH_THEN_RETRAIN if self._retrain and self._stores else super().phases

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        self._searching = not self.phases or phase == self.phases[0]
        for store in self._stores:
            if self._searching:
                store.open()
            else:
                store.close()

    def end(self, phase: Phase) -> None:
        """See `LifeCycle.end`."""
        for store in self._stores:
            store.fix()

    def largest(self, field: Field, limit: int) -> Structure | None:
        """See `SizedEmbedding.largest`."""
        size = field.num_rows, field.width
        entries = size[0] * size[1]
        kept = most(lambda k: layout_bytes(*size, k, self.precision), limit, entries)
        return None if kept is None else {"kept": kept}

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`: what a full table has room for."""
        found = self.largest(field, full_bytes(field))
        assert found is not None, "a full table has room for some"
        return found

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: entries and their places."""
        return int(self.price(self.form(field, structure["kept"])).bytes.low)

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        rows, width, kept = field.num_rows, field.width, structure["kept"]
        use = Use(products=float(field.scored), rows=field.lookups)
        form = self.form(field, kept)
        name = f"{field.name}.store"
        weight = Weight(name, rows, width, "table", use, sensitive=True, expected=form)
        store = self.store(weight, field, kept)
        if self._retrain:
            store.mask()
        self._stores.append(store)
        output = SameWidth(width)
        return ComposedTable(field, Identity(rows), [store], Sum(), output, generator)
