"""Layers: where a model asks for every table and every linear layer it needs."""

from typing import Protocol

import torch
from torch import Tensor, nn

from automl_rec.plugin.catalog import Catalog
from automl_rec.plugin.table import Field, PlainTable, Table
from automl_rec.plugin.weight import Use, Weight


class Linear(nn.Module):
    """``x @ W.T + b`` with a weight (out, in) that compression may replace."""

    def __init__(self, weight: Weight, *, bias: bool) -> None:
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(weight.rows)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        product = self.weight.matrix.multiply(x)
        return product if self.bias is None else product + self.bias


class TableMaker(Protocol):
    """What builds a table for a field: an `Embedding`, or nothing but plain rows."""

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """The table of a field."""


class Layers:
    """Makes a model's tables and weights as the configuration wants them, and knows them all.

    Attributes:
        catalog: sizes and counts behind the fields.
        generator: source of every initial value.
        tables: name -> table of ids, made by the embedding.
        fields: name -> what was asked of each of them.
        private: name -> table that belongs to the model alone and is never compressed.
        weights: name -> weight, those of tables included.
        compressed: whether a rank or sparsity acts on weights while they train.
    """

    def __init__(
        self,
        catalog: Catalog,
        generator: torch.Generator,
        embedding: TableMaker | None = None,
        *,
        compressed: bool = False,
    ) -> None:
        self.catalog, self.generator, self.compressed = catalog, generator, compressed
        self._embedding = embedding
        self.tables: dict[str, Table] = {}
        self.fields: dict[str, Field] = {}
        self.private: dict[str, Table] = {}
        self.weights: dict[str, Weight] = {}

    def table(
        self,
        name: str,
        width: int,
        *,
        std: float = 0.1,
        lookups: float = 1.0,
        scored: bool = False,
        ids: str | None = None,
        rows: int | None = None,
        frozen: bool = False,
    ) -> Table:
        """A table of the ids of ``name``.

        Args:
            name: unique in the model.
            width: columns D.
            std: standard deviation of the normal start.
            lookups: rows read to score one user, or to judge one row.
            scored: whether scoring one user multiplies all rows with a vector.
            ids: which ids it has rows for, in the words of `Catalog.counts`; ``name`` if None.
            rows: number of ids of a table that belongs to the model alone (positions) and is never
                compressed.
            frozen: whether the rows are assigned by the model and not trained.
        """
        known = self.tables | self.private
        assert name not in known, f"the table {name!r} was asked for twice: share it"
        if rows is not None:
            field = Field(name, rows, width, std, None, lookups, scored)
            table: Table = PlainTable(field, self.generator)
            self.private[name] = table
        else:
            counts = self.catalog.counts(ids or name)
            size = len(counts)
            table = self._made(Field(name, size, width, std, counts, lookups, scored, ids or name))
            self.tables[name] = table
        for weight in table.weights():
            weight.sensitive = weight.sensitive or rows is not None
            self._add(weight)
        if frozen:
            table.requires_grad_(False)
        return table

    def linear(
        self,
        name: str,
        n_in: int,
        n_out: int,
        *,
        bias: bool = True,
        std: float | None = None,
        products: float = 1.0,
        sensitive: bool = False,
        after: Linear | None = None,
    ) -> Linear:
        """A linear layer (n_out, n_in).

        Args:
            name: unique in the model.
            n_in: width of the input.
            n_out: width of the output.
            bias: whether it adds one.
            std: standard deviation of the normal start; default Xavier.
            products: vectors it is applied to when one user is scored, or one row judged.
            sensitive: whether compression leaves it alone.
            after: the layer whose outputs, each changed on its own alone, are its inputs; nothing
                else may read them, since those that this layer ignores will not be computed.
        """
        source = None if after is None else after.weight.name
        use = Use(products)
        weight = Weight(name, n_out, n_in, "linear", use, sensitive=sensitive, after=source)
        weight.initialise(std or (2.0 / (n_in + n_out)) ** 0.5, self.generator)
        self._add(weight)
        return Linear(weight, bias=bias)

    def item_item(self, name: str, *, limit: int | None = None) -> Weight:
        """An item-item weight (I, I): row i is what a user who met item i gains at every item.

        Args:
            name: unique in the model.
            limit: entries stored at most, where the model assigns a sparse matrix.
        """
        items = self.catalog.num_items
        mean = self.catalog.histories.indptr[-1] / max(self.catalog.num_users, 1)
        use = Use(rows=float(mean))
        weight = Weight(name, items, items, "item-item", use, zero_diagonal=True, limit=limit)
        self._add(weight)
        return weight

    def _made(self, field: Field) -> Table:
        self.fields[field.name] = field
        if self._embedding is None:
            table: Table = PlainTable(field, self.generator)
        else:
            table = self._embedding.table(field, self.generator)
        table.exact = table.exact and not self.compressed
        return table

    def _add(self, weight: Weight) -> None:
        assert weight.name not in self.weights, f"two weights are named {weight.name!r}"
        self.weights[weight.name] = weight
