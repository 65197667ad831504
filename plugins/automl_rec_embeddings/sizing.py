"""Sizing: how much of the full tables' bytes a scheme may use, table by table."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from automl_rec.plugin import (
    Catalog,
    Field,
    Infeasible,
    PlainTable,
    Precision,
    Table,
    dense_bytes,
)
from automl_rec_embeddings.codecs import CodedEmbedding

Structure: TypeAlias = dict[str, Any]
"""What decides the shapes of one table, as plain data."""
FLOAT32_BYTES = 4
SMALL_SHARE = 0.01
"""A table with less of all full tables' bytes stays full: it would save nothing worth a row."""
LEAST_USE = 0.5
"""Share of a budget that a scheme must be able to use, or the pair is unreachable."""
HALVINGS = 40


class SizedEmbedding(CodedEmbedding):
    """An embedding that makes its tables as large as a budget of bytes allows.

    The budget is a share of the bytes of full float32 tables, over all tables of a model. Every
    table is allowed the same share of its own bytes; where small tables stay full, the others get
    less. Without a budget the scheme's own hyperparameters decide.
    """

    def __init__(self, precision: Precision, budget: float | None) -> None:
        super().__init__(precision)
        self.budget = budget
        self._plan: Mapping[str, Any] = {}

    @abstractmethod
    def largest(self, field: Field, limit: int) -> Structure | None:
        """The largest structure of a table with at most ``limit`` bytes; None if there is none."""

    @abstractmethod
    def chosen(self, field: Field) -> Structure:
        """The structure that the scheme's own hyperparameters say."""

    @abstractmethod
    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """Native bytes of a table, encoded: exactly what will be served."""

    @abstractmethod
    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """The table of a structure; may be built on the meta device."""

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`: the structure of every table that does not stay full."""
        whole = sum(map(full_bytes, fields.values()))
        large = {n: f for n, f in fields.items() if full_bytes(f) >= SMALL_SHARE * whole}
        if self.budget is None:
            return self._saving(fields, {name: self.chosen(f) for name, f in large.items()})
        return self._within(fields, large, int(self.budget * whole))

    def adopt(self, plan: Mapping[str, Any]) -> None:
        """See `Embedding.adopt`."""
        self._plan = plan

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`."""
        structure = self._plan.get(field.name)
        if structure is None:
            return PlainTable(field, generator)
        return self.build(field, dict(structure), generator)

    def _saving(
        self, fields: Mapping[str, Field], structures: Mapping[str, Structure]
    ) -> dict[str, Structure]:
        """The structures that need fewer bytes than a full table of the same precision."""
        return {
            name: structure
            for name, structure in structures.items()
            if self.structure_bytes(fields[name], structure) < self.plain_bytes(fields[name])
        }

    def _within(
        self, fields: Mapping[str, Field], large: Mapping[str, Field], limit: int
    ) -> dict[str, Structure]:
        low, high = 0.0, 1.0
        best: dict[str, Structure] | None = None
        for _ in range(HALVINGS):
            share = (low + high) / 2
            found = self._at(fields, large, share)
            if found is not None and self._total(fields, found) > limit:
                high = share
            else:
                low, best = share, best if found is None else found
        if best is None or self._total(fields, best) > limit:
            raise Infeasible(self._out_of_reach(fields, large))
        if self._total(fields, best) < LEAST_USE * limit:
            raise Infeasible(
                f"A budget of {self.budget:g} is more than twice what this embedding can use on "
                f"these tables. Lower the budget, or choose another embedding."
            )
        return best

    def _at(
        self, fields: Mapping[str, Field], large: Mapping[str, Field], share: float
    ) -> dict[str, Structure] | None:
        """The plan in which every large table has a share of its full bytes, if each can."""
        found = {n: self.largest(f, int(share * full_bytes(f))) for n, f in large.items()}
        structures = {name: s for name, s in found.items() if s is not None}
        return self._saving(fields, structures) if len(structures) == len(found) else None

    def _total(self, fields: Mapping[str, Field], plan: Mapping[str, Structure]) -> int:
        return sum(
            self.structure_bytes(field, plan[name]) if name in plan else self.plain_bytes(field)
            for name, field in fields.items()
        )

    def _out_of_reach(self, fields: Mapping[str, Field], large: Mapping[str, Field]) -> str:
        return (
            f"A budget of {self.budget:g} of the full tables' bytes is less than this embedding "
            f"needs for {', '.join(large) or 'these tables'}. Raise the budget, or choose another "
            f"embedding."
        )

    def plain_bytes(self, field: Field) -> int:
        """Native bytes of a plain table of this precision."""
        return dense_bytes(field.num_rows, field.width, self.precision)


def full_bytes(field: Field) -> int:
    """Bytes of a full float32 table."""
    return field.num_rows * field.width * FLOAT32_BYTES


def most(bytes_of: Callable[[int], int], limit: int, high: int) -> int | None:
    """The largest number from 1 to ``high`` whose bytes, which grow with it, keep a limit."""
    found = bisect_right(range(1, high + 1), limit, key=bytes_of)
    return found or None
