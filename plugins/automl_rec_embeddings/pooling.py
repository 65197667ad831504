"""Pooling: one store of rows for all tables of a model."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch

from automl_rec.plugin import Catalog, Field, Infeasible, PlainTable, Precision, Table, dense_bytes
from automl_rec_embeddings.codecs import CodedEmbedding
from automl_rec_embeddings.row_stores.pooled_rows import PooledRows
from automl_rec_embeddings.sizing import LEAST_USE, full_bytes, large

Store = TypeVar("Store", bound=PooledRows)


class PooledEmbedding(CodedEmbedding, Generic[Store]):
    """An embedding whose tables all read one store.

    The budget is a share of the bytes of full float32 tables, over all tables of a model; the
    ratio, of the numbers of the tables that are pooled. Small tables stay full, and all do if the
    store would not be smaller.
    """

    def __init__(self, precision: Precision, budget: float | None, ratio: float | None) -> None:
        super().__init__(precision)
        self.budget, self.ratio = budget, ratio
        self._plan: Mapping[str, Any] = {}
        self._store: Store | None = None

    @abstractmethod
    def columns(self, fields: Mapping[str, Field]) -> int:
        """Columns of the store, for the tables that are pooled."""

    @abstractmethod
    def beside(self, fields: Mapping[str, Field]) -> int:
        """Bytes that are stored beside the rows."""

    @abstractmethod
    def reads(self, field: Field, columns: int) -> int:
        """Rows of the store that one row of a table reads."""

    @abstractmethod
    def store(self, name: str, plan: Mapping[str, Any], generator: torch.Generator) -> Store:
        """The store of a plan, see `plan`."""

    @abstractmethod
    def reader(
        self,
        field: Field,
        number: int,
        store: Store,
        generator: torch.Generator,
        *,
        first: bool,
    ) -> Table:
        """A table that reads the store.

        Args:
            field: whose table it is.
            number: different for each table of the store.
            store: what it reads.
            generator: of what else is drawn.
            first: whether it is the one that owns the store.
        """

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`: the size of the store, its use, and the number of each table.

        Raises:
            Infeasible: the budget is out of reach.
        """
        pooled = large(fields)
        columns = self.columns(pooled)
        rows = self._rows(fields, pooled, columns)
        stored = dense_bytes(rows, columns, self.precision) + self.beside(pooled)
        plain = sum(map(self._plain_bytes, pooled.values()))
        if stored >= plain:
            self._require_use(fields, plain)
            return {}
        values = sum(f.num_rows * f.width for f in pooled.values())
        squares = sum(f.num_rows * f.width * f.std**2 for f in pooled.values())
        read = {name: self.reads(field, columns) for name, field in pooled.items()}
        return {
            "rows": rows,
            "columns": columns,
            "std": (squares / values) ** 0.5,
            "lookups": sum(field.lookups * read[name] for name, field in pooled.items()),
            "products": sum(field.scored * read[name] for name, field in pooled.items()),
            "numbers": {name: number for number, name in enumerate(pooled)},
        }

    def adopt(self, plan: Mapping[str, Any]) -> None:
        """See `Embedding.adopt`."""
        self._plan, self._store = plan, None

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`; the first that reads the store owns it."""
        number = self._plan.get("numbers", {}).get(field.name)
        if number is None:
            return PlainTable(field, generator)
        first = self._store is None
        if self._store is None:
            self._store = self.store(f"{field.name}.pool", self._plan, generator)
        # The values that all tables read start alike.
        field = replace(field, std=self._plan["std"])
        return self.reader(field, number, self._store, generator, first=first)

    def _rows(self, fields: Mapping[str, Field], pooled: Mapping[str, Field], columns: int) -> int:
        if self.budget is None:
            assert self.ratio is not None, "it is sized by a budget or its ratio"
            values = sum(field.num_rows * field.width for field in pooled.values())
            return max(round(self.ratio * values / columns), 1)
        others = sum(self._plain_bytes(f) for name, f in fields.items() if name not in pooled)
        least = others + self.beside(pooled)
        rows = (self._limit(fields) - least) // dense_bytes(1, columns, self.precision)
        if rows < 1:
            raise Infeasible(
                f"A budget of {self.budget:g} of the full tables' bytes is less than the "
                f"{least} bytes that this embedding needs beside its store. Raise the budget, or "
                f"choose another embedding."
            )
        return rows

    def _require_use(self, fields: Mapping[str, Field], plain: int) -> None:
        """Refuses a budget of which tables that all stay full would use too little."""
        if self.budget is not None and plain < LEAST_USE * self._limit(fields):
            raise Infeasible(
                f"A budget of {self.budget:g} of the full tables' bytes is more than twice what "
                f"these tables need in {self.precision}. Lower the budget."
            )

    def _limit(self, fields: Mapping[str, Field]) -> int:
        assert self.budget is not None
        return int(self.budget * sum(map(full_bytes, fields.values())))

    def _plain_bytes(self, field: Field) -> int:
        return dense_bytes(field.num_rows, field.width, self.precision)
