"""Sizing: how much of the full tables' bytes a scheme may use, table by table."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
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
"""The smallest tables with this share of all full tables' bytes stay full: they save nothing."""
LEAST_USE = 0.5
"""Share of a budget that a scheme must be able to use, or the pair is unreachable."""
FINEST = 1e-6
"""Shares that differ relatively by less are the same."""
STRAIGHT = 3
"""Tries that take bytes to grow in proportion, if they do; the others halve what is left."""
SPARE = 0.001
"""Share of a budget that may be left unused without another try."""


class BudgetedEmbedding(CodedEmbedding):
    """An embedding whose tables together may use a share of the full float32 tables' bytes.

    Small tables stay full, as does every table that the scheme would not make smaller; the others
    get less for it. Without a budget the scheme's own hyperparameters decide.

    Attributes:
        proportional: whether bytes grow about in proportion to the share that `at` is given.
    """

    proportional = False

    def __init__(self, precision: Precision, budget: float | None) -> None:
        super().__init__(precision)
        self.budget = budget
        self._plan: Mapping[str, Any] = {}

    @abstractmethod
    def at(self, fields: Mapping[str, Field], share: float) -> dict[str, Structure]:
        """Structures of the tables it may act on; their bytes must not fall as the share grows.

        Args:
            fields: every table of the model; see `large`.
            share: 0 asks for the fewest bytes; towards 1, as many as the scheme can use.
        """

    def filled(
        self, fields: Mapping[str, Field], plan: dict[str, Structure], limit: int
    ) -> dict[str, Structure]:
        """A plan with some tables larger, if steps of others leave bytes of the limit unused."""
        return plan

    @abstractmethod
    def own(self, fields: Mapping[str, Field]) -> dict[str, Structure]:
        """The structures that the scheme's own hyperparameters say."""

    @abstractmethod
    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """Native bytes of a table, encoded: exactly what will be served."""

    @abstractmethod
    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """The table of a structure; may be built on the meta device."""

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`: the structure of every table that does not stay full."""
        if self.budget is None:
            return self._saving(fields, self.own(fields))
        return self._within(fields, int(self.budget * sum(map(full_bytes, fields.values()))))

    def adopt(self, plan: Mapping[str, Any]) -> None:
        """See `Embedding.adopt`."""
        self._plan = plan

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`."""
        structure = self._plan.get(field.name)
        if structure is None:
            return PlainTable(field, generator)
        return self.build(field, dict(structure), generator)

    def plain_bytes(self, field: Field) -> int:
        """Native bytes of a plain table of this precision."""
        return dense_bytes(field.num_rows, field.width, self.precision)

    def _saving(
        self, fields: Mapping[str, Field], structures: Mapping[str, Structure]
    ) -> dict[str, Structure]:
        """The structures that need fewer bytes than a full table of the same precision."""
        return {
            name: structure
            for name, structure in structures.items()
            if self.structure_bytes(fields[name], structure) < self.plain_bytes(fields[name])
        }

    def _within(self, fields: Mapping[str, Field], limit: int) -> dict[str, Structure]:
        """The plan with the most bytes that keeps a limit."""
        best: dict[str, Structure] = {}  # full tables, if there is room for them
        if self._total(fields, best) > limit:
            best = self.filled(fields, self._largest_plan(fields, limit), limit)
        if self._total(fields, best) < LEAST_USE * limit:
            raise Infeasible(self._too_large(fields, best))
        return best

    def _largest_plan(self, fields: Mapping[str, Field], limit: int) -> dict[str, Structure]:
        """The plan of the largest share with at most so many bytes."""
        low, high, best = 0.0, 1.0, self._saving(fields, self.at(fields, 0.0))
        used, above = self._total(fields, best), self._total(fields, {})
        if used > limit:
            raise Infeasible(self._too_small(fields, best))
        tries = 0 if self.proportional else STRAIGHT
        while limit - used > SPARE * limit and high - low > FINEST * high:
            aim = (limit * (1 - SPARE / 2) - used) / (above - used) if tries < STRAIGHT else 0.5
            share, tries = low + aim * (high - low), tries + 1
            found = self._saving(fields, self.at(fields, share))
            total = self._total(fields, found)
            if total > limit:
                high, above = share, total
            else:
                low, used, best = share, total, found
        return best

    def _total(self, fields: Mapping[str, Field], plan: Mapping[str, Structure]) -> int:
        return sum(
            self.structure_bytes(field, plan[name]) if name in plan else self.plain_bytes(field)
            for name, field in fields.items()
        )

    def _share(self, fields: Mapping[str, Field], plan: Mapping[str, Structure]) -> float:
        return self._total(fields, plan) / sum(map(full_bytes, fields.values()))

    def _too_small(self, fields: Mapping[str, Field], least: Mapping[str, Structure]) -> str:
        return (
            f"A budget of {self.budget:g} of the full tables' bytes is less than the "
            f"{self._share(fields, least):.3g} that this embedding needs for these tables. Raise "
            f"the budget, or choose another embedding."
        )

    def _too_large(self, fields: Mapping[str, Field], best: Mapping[str, Structure]) -> str:
        return (
            f"A budget of {self.budget:g} of the full tables' bytes is more than twice the "
            f"{self._share(fields, best):.3g} that this embedding can use for these tables. Lower "
            f"the budget, or choose another embedding."
        )


class SizedEmbedding(BudgetedEmbedding):
    """An embedding that allows every table the same share of its own bytes.

    A table that cannot be made so small is as small as it can be, and the others get less.
    """

    proportional = True

    def __init__(self, precision: Precision, budget: float | None) -> None:
        super().__init__(precision, budget)
        self._smallest: dict[str, Structure | None] = {}

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`."""
        self._smallest = {}
        return super().plan(fields, catalog)

    @abstractmethod
    def largest(self, field: Field, limit: int) -> Structure | None:
        """The largest structure of a table with at most ``limit`` bytes; None if there is none."""

    @abstractmethod
    def chosen(self, field: Field) -> Structure:
        """The structure that the scheme's own hyperparameters say."""

    def smallest(self, field: Field) -> Structure | None:
        """The smallest structure of a table, None if it has none smaller than the full table."""
        limits = range(full_bytes(field))
        first = bisect_right(limits, 0, key=lambda n: self.largest(field, n) is not None)
        return self.largest(field, first)

    def at(self, fields: Mapping[str, Field], share: float) -> dict[str, Structure]:
        """See `BudgetedEmbedding.at`."""
        found = {n: self._largest(f, share) for n, f in large(fields).items()}
        return {name: structure for name, structure in found.items() if structure is not None}

    def filled(
        self, fields: Mapping[str, Field], plan: dict[str, Structure], limit: int
    ) -> dict[str, Structure]:
        """See `BudgetedEmbedding.filled`; the largest table is asked first."""
        for name in sorted(plan, key=lambda name: -full_bytes(fields[name])):
            left = limit - self._total(fields, plan)
            if left <= SPARE * limit:
                break
            used = self.structure_bytes(fields[name], plan[name])
            found = self.largest(fields[name], used + left) or plan[name]
            plan = self._saving(fields, plan | {name: found})
        return plan

    def own(self, fields: Mapping[str, Field]) -> dict[str, Structure]:
        """See `BudgetedEmbedding.own`."""
        return {name: self.chosen(field) for name, field in large(fields).items()}

    def _largest(self, field: Field, share: float) -> Structure | None:
        found = self.largest(field, int(share * full_bytes(field)))
        if found is not None:
            return found
        if field.name not in self._smallest:
            self._smallest[field.name] = self.smallest(field)
        return self._smallest[field.name]


def large(fields: Mapping[str, Field]) -> dict[str, Field]:
    """The tables that are worth an effort: without them, those left would hold next to nothing."""
    sizes = sorted(map(full_bytes, fields.values()))
    least = SMALL_SHARE * sum(sizes)
    worth = {size for size, up_to in zip(sizes, accumulate(sizes), strict=True) if up_to > least}
    return {name: field for name, field in fields.items() if full_bytes(field) in worth}


def full_bytes(field: Field) -> int:
    """Bytes of a full float32 table."""
    return field.num_rows * field.width * FLOAT32_BYTES


def most(bytes_of: Callable[[int], int], limit: int, high: int) -> int | None:
    """The largest number from 1 to ``high`` whose bytes, which grow with it, keep a limit."""
    found = bisect_right(range(1, high + 1), limit, key=bytes_of)
    return found or None
