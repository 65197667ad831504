"""One row of full width for every id."""

import torch

from automl_rec.plugin import Field, PlainTable, Table
from automl_rec_embeddings.codecs import CodedEmbedding


class Full(CodedEmbedding):
    """Identity, one stored row an id, no combination, no output map.

    Source: the plain table every published model has.
    """

    @property
    def after_training(self) -> frozenset[str]:
        """See `Embedding.after_training`."""
        return frozenset({"precision"})

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`."""
        return PlainTable(field, generator)
