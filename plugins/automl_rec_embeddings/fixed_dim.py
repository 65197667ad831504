"""Narrower rows with a projection to the width a model expects."""

from typing import TYPE_CHECKING

import torch

from automl_rec.plugin import Field, PlainTable, Table, Use
from automl_rec_embeddings.codecs import CodedEmbedding
from automl_rec_embeddings.combinations import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms import Identity
from automl_rec_embeddings.output_maps import Projection

if TYPE_CHECKING:
    from automl_rec.plugin import Precision


class FixedDim(CodedEmbedding):
    """Identity, one narrow row an id, and a bias-free projection.

    A field that this would not make smaller keeps full rows.

    Source: compression specification E1; the projection as in mixed-dimension tables (Ginart et
    al., 2019) with one width for all ids. Ours learns the projection with the rows.
    """

    def __init__(self, width: int, precision: "Precision") -> None:
        super().__init__(precision)
        self.width = width

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`."""
        if (field.num_rows + field.width) * self.width >= field.num_rows * field.width:
            return PlainTable(field, generator)
        use = Use(products=float(field.scored) + field.lookups)
        name = f"{field.name}.projection"
        output = Projection(name, self.width, field.width, use, generator)
        return ComposedTable(field, Identity(field.num_rows), Sum(), output, generator)
