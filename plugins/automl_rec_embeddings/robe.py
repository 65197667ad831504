"""Rows put together from pieces of one array for all fields."""

from collections.abc import Mapping
from typing import Any

import torch

from automl_rec.plugin import Field, Precision, Table, Use
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.pooling import PooledEmbedding
from automl_rec_embeddings.row_stores.hashed_array import (
    COEFFICIENT_BYTES,
    HashedArray,
    SharedArray,
)


class Robe(PooledEmbedding[SharedArray]):
    """Identity, and one array from which every table takes the pieces of its rows.

    Source: ROBE (Desai et al., 2022); the signs of the memory compression benchmark (Zhang et al.,
    2024). Ours keeps the array in rows as wide as the widest table, each with its own step in
    int8, and fits rows given by closed forms to all tables at once.
    """

    def __init__(
        self,
        chunk_size: int,
        precision: Precision,
        sized_by: str,
        budget: float | None = None,
        size: float | None = None,
    ) -> None:
        super().__init__(precision, budget, size)
        self.chunk_size = chunk_size

    def columns(self, fields: Mapping[str, Field]) -> int:
        """See `PooledEmbedding.columns`."""
        return max(field.width for field in fields.values())

    def beside(self, fields: Mapping[str, Field]) -> int:
        """See `PooledEmbedding.beside`: the coefficients of the hash functions."""
        return COEFFICIENT_BYTES

    def reads(self, field: Field, columns: int) -> int:
        """See `PooledEmbedding.reads`: as many values as a row of the array holds, or fewer."""
        return 1

    def store(self, name: str, plan: Mapping[str, Any], generator: torch.Generator) -> SharedArray:
        """See `PooledEmbedding.store`; tables count the products of their computed rows."""
        return SharedArray(
            name, plan["rows"], plan["columns"], Use(rows=plan["lookups"]), generator
        )

    def reader(
        self,
        field: Field,
        number: int,
        store: SharedArray,
        generator: torch.Generator,
        *,
        first: bool,
    ) -> Table:
        """See `PooledEmbedding.reader`."""
        # No piece is longer than a row of the table, nor than the array, which has a row at least.
        rows = HashedArray(store, field, number, min(self.chunk_size, field.width))
        transform, output = Identity(field.num_rows), SameWidth(field.width)
        return ComposedTable(field, transform, [rows], Sum(), output, generator, shared=not first)
