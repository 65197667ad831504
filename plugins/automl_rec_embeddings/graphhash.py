"""Rows shared by ids of one community of the train graph."""

from typing import TYPE_CHECKING, Any

from automl_rec.plugin import Catalog, Field, Table, Use, dense_bytes
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.communities import Communities
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.graphs import Graph, graph_around
from automl_rec_embeddings.id_transforms.id_transform import smallest_unsigned
from automl_rec_embeddings.id_transforms.labels import Labels
from automl_rec_embeddings.id_transforms.side_by_side import SideBySide
from automl_rec_embeddings.id_transforms.universal_hash import COEFFICIENT_BYTES, UniversalHash
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.stored_rows import StoredRows
from automl_rec_embeddings.sizing import BudgetedEmbedding, Structure, large

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from automl_rec.plugin import Precision
    from automl_rec_embeddings.id_transforms.id_transform import IdTransform

COARSEST, FINEST = -4, 14
"""Powers of two between which a budget seeks the resolution."""
STEPS = 16
"""Resolutions tried between one power of two and the next; budgets and trials share them."""


class GraphHash(BudgetedEmbedding):
    """One row a community of the graph of users and items, or of the values of fields.

    One resolution decides how many communities every graph of a model falls into; users and items
    of a community have rows of their own in tables of their own. All ids without an edge in train
    share one row. Doubled, the row of an id is the sum of its community's and of another one of
    the same store that a hash function names. A table that this would not make smaller, or whose
    ids no graph joins, keeps full rows.

    Source: compression specification E7, after Wu et al., 2024, from the equations alone. Ours
    counts every interaction an id's feature has, and in rows those labelled 1; isolated ids share
    a row, where they were communities of one.
    """

    def __init__(
        self,
        precision: "Precision",
        sized_by: str,
        double: bool,  # noqa: FBT001 - as hyperparameters are given
        budget: float | None = None,
        resolution: float | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self.double, self.resolution = double, resolution
        self._graphs: dict[str, Communities] = {}

    def plan(self, fields: "Mapping[str, Field]", catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`; communities are those of the train part, whatever the seed."""
        around = {field.ids: graph_around(field.ids, catalog) for field in fields.values()}
        found: dict[Graph, Communities] = {
            graph: Communities(graph, catalog) for graph in around.values() if graph is not None
        }
        self._graphs = {ids: found[graph] for ids, graph in around.items() if graph is not None}
        return super().plan(fields, catalog)

    def at(self, fields: "Mapping[str, Field]", share: float) -> dict[str, Structure]:
        """See `BudgetedEmbedding.at`; larger tables, but for noise, at higher resolutions."""
        steps = round(share * (FINEST - COARSEST) * STEPS)
        return self._structures(fields, 2.0 ** (COARSEST + steps / STEPS))

    def own(self, fields: "Mapping[str, Field]") -> dict[str, Structure]:
        """See `BudgetedEmbedding.own`."""
        assert self.resolution is not None, "it is sized by a budget or its resolution"
        return self._structures(fields, self.resolution)

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `BudgetedEmbedding.structure_bytes`: rows, labels, hash coefficients."""
        slots = structure["slots"]
        labels = field.num_rows * smallest_unsigned(slots - 1).itemsize
        rows = dense_bytes(slots, field.width, self.precision)
        return rows + labels + self.double * COEFFICIENT_BYTES

    def build(self, field: Field, structure: Structure, generator: "torch.Generator") -> Table:
        """See `BudgetedEmbedding.build`."""
        slots, resolution, graph = structure["slots"], structure["resolution"], None
        if field.ids in self._graphs:  # not where an artefact brings the labels
            graph = self._graphs[field.ids].labels(field.ids, resolution)
        transform: IdTransform = Labels(field.num_rows, slots, graph)
        if self.double:
            transform = SideBySide([transform, UniversalHash([slots], generator)])
        use = Use(products=float(field.scored), rows=(1 + self.double) * field.lookups)
        store = StoredRows(f"{field.name}.store", slots, field.width, use)
        stores = [store] * len(transform.sizes)
        return ComposedTable(field, transform, stores, Sum(), SameWidth(field.width), generator)

    def _structures(self, fields: "Mapping[str, Field]", resolution: float) -> dict[str, Structure]:
        return {
            name: {
                "resolution": resolution,
                "slots": self._graphs[field.ids].count(field.ids, resolution),
            }
            for name, field in large(fields).items()
            if field.ids in self._graphs
        }
