"""One table of rows for all fields."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from automl_rec.plugin import Field, Precision, Table, Use
from automl_rec_embeddings.combinations.chunks import Chunks
from automl_rec_embeddings.composition import CHUNK_ROWS, ComposedTable
from automl_rec_embeddings.id_transforms.universal_hash import COEFFICIENT_BYTES, UniversalHash
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.pooling import PooledEmbedding
from automl_rec_embeddings.row_stores.pooled_rows import PooledRows
from automl_rec_embeddings.train_weights import train_weights


class Unified(PooledEmbedding[PooledRows]):
    """A hash function for each chunk of each table, into one store for all tables.

    A row is as many chunks as its width needs, the last one cut. Where no table is as wide as a
    chunk, chunks are as wide as the widest.

    Source: unified embedding, or feature multiplexing (Coleman et al., 2023). Ours leaves the
    width of every table to its model, draws universal hash functions from the seed, and fits rows
    given by closed forms to all tables at once.
    """

    def __init__(
        self,
        chunk_width: int,
        precision: Precision,
        sized_by: str,
        budget: float | None = None,
        ratio: float | None = None,
    ) -> None:
        super().__init__(precision, budget, ratio)
        self.chunk_width = chunk_width

    def columns(self, fields: Mapping[str, Field]) -> int:
        """See `PooledEmbedding.columns`."""
        return min(self.chunk_width, max(field.width for field in fields.values()))

    def beside(self, fields: Mapping[str, Field]) -> int:
        """See `PooledEmbedding.beside`: the coefficients of the hash functions."""
        columns = self.columns(fields)
        return sum(self.reads(field, columns) for field in fields.values()) * COEFFICIENT_BYTES

    def reads(self, field: Field, columns: int) -> int:
        """See `PooledEmbedding.reads`: chunks of a row."""
        return -(-field.width // columns)

    def store(self, name: str, plan: Mapping[str, Any], generator: torch.Generator) -> PooledRows:
        """See `PooledEmbedding.store`."""
        use = Use(products=plan["products"], rows=plan["lookups"])
        return PooledRows(name, plan["rows"], plan["columns"], use, sensitive=False)

    def reader(
        self,
        field: Field,
        number: int,
        store: PooledRows,
        generator: torch.Generator,
        *,
        first: bool,
    ) -> Table:
        """See `PooledEmbedding.reader`; hash functions of its own tell a table from the others."""
        return MultiplexedTable(field, store, generator, first=first)


class MultiplexedTable(ComposedTable):
    """Rows of chunks from a store that other tables read too; the first table owns it."""

    def __init__(
        self, field: Field, store: PooledRows, generator: torch.Generator, *, first: bool
    ) -> None:
        chunks = -(-field.width // store.width)
        super().__init__(
            field,
            UniversalHash([store.size] * chunks, generator),
            [store] * chunks,
            Chunks(store.width, field.width),
            SameWidth(field.width),
            generator,
            shared=not first,
        )

    def assign(self, rows: Tensor) -> None:
        """See `Table.assign`: the least-squares fit to the rows of every table assigned so far."""
        store = cast("PooledRows", self._stores[0])
        products, weights = torch.zeros(2, store.size, store.width)
        every = train_weights(self._field)
        for ids in torch.arange(self.num_rows).split(CHUNK_ROWS):
            weight = every[ids, None]
            wanted = zip(
                self.transform(ids),
                self._cut(weight * rows[ids]),
                self._cut(weight.expand(-1, self.width)),
                strict=True,
            )
            for slots, product, share in wanted:
                products.index_add_(0, slots, product)
                weights.index_add_(0, slots, share)
        store.fit(self._field.name, products, weights)

    def _cut(self, rows: Tensor) -> tuple[Tensor, ...]:
        return self.combination.split(rows, [store.width for store in self._stores])
