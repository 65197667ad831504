"""Narrower rows with a projection to the width a model expects."""

from typing import TYPE_CHECKING

import torch

from automl_rec.plugin import Field, Table, Use, dense_bytes
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable, use_of
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.output_maps.projection import Projection
from automl_rec_embeddings.row_stores.stored_rows import StoredRows
from automl_rec_embeddings.sizing import SizedEmbedding, Structure

if TYPE_CHECKING:
    from automl_rec.plugin import Precision


class FixedDim(SizedEmbedding):
    """Identity, one narrow row an id, and a bias-free projection.

    A table that this would not make smaller keeps full rows.

    Source: compression specification E1; the projection as in mixed-dimension tables (Ginart et
    al., 2019) with one width for all ids. Ours learns the projection with the rows.
    """

    def __init__(
        self,
        precision: "Precision",
        sized_by: str,
        budget: float | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self.width = width

    def largest(self, field: Field, limit: int) -> Structure | None:
        """See `SizedEmbedding.largest`; bytes grow with the width in equal steps."""
        first, second = (self.structure_bytes(field, {"width": width}) for width in (1, 2))
        width = min(1 + (limit - first) // (second - first), field.width)
        return {"width": width} if width >= 1 else None

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`."""
        assert self.width is not None, "it is sized by a budget or its width"
        return {"width": min(self.width, field.width)}

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: rows and projection."""
        width = structure["width"]
        rows = dense_bytes(field.num_rows, width, self.precision)
        return rows + dense_bytes(width, field.width, self.precision)

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        width = structure["width"]
        use = Use(products=float(field.scored) + field.lookups)
        output = Projection(f"{field.name}.projection", width, field.width, use, generator)
        combination = Sum()
        name, rows = f"{field.name}.store", field.num_rows
        store = StoredRows(name, rows, width, use_of(field, rows, combination))
        return ComposedTable(field, Identity(rows), [store], combination, output, generator)
