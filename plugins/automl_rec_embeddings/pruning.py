"""Tables of which a budget of entries is kept: what their schemes have in common."""

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch

from automl_rec.plugin import Field, Phase, Precision, Table, Use, layout_bytes
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.selection import Entries, Selection
from automl_rec_embeddings.sizing import SizedEmbedding, Structure, most

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
    def store(self, name: str, field: Field, use: Use, structure: Structure) -> "PrunedRows":
        """The rows of a field."""

    def selection(self, field: Field, structure: Structure) -> Selection:
        """Which entries of a field are kept."""
        return Entries(field.num_rows, field.width, structure["entries"])

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`; one, where every table stays full."""
        return SEARCH_THEN_RETRAIN if self._retrain and self._stores else super().phases

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        self._searching = phase.name == self.phases[0].name
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
        places = field.num_rows * field.width
        entries = most(lambda e: self.structure_bytes(field, {"entries": e}), limit, places)
        return None if entries is None else {"entries": entries}

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`: all, where there is no budget."""
        return {"entries": field.num_rows * field.width}

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: entries and their places."""
        entries = structure["entries"]
        return layout_bytes(field.num_rows, field.width, entries, self.precision)

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        use = Use(products=float(field.scored), rows=field.lookups)
        store = self.store(f"{field.name}.store", field, use, structure)
        self._stores.append(store)
        output = SameWidth(field.width)
        return ComposedTable(field, Identity(field.num_rows), [store], Sum(), output, generator)
