"""Widths that fall with the popularity of ids."""

from collections.abc import Mapping
from math import floor, log2
from typing import TYPE_CHECKING, Any, Literal

import torch

from automl_rec.plugin import Catalog, Field, Table, Use, dense_bytes
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms.by_frequency import ByFrequency, equal_shares
from automl_rec_embeddings.id_transforms.id_transform import IdTransform, smallest_unsigned
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.projected_rows import ProjectedRows
from automl_rec_embeddings.row_stores.row_store import RowStore
from automl_rec_embeddings.row_stores.stacked_rows import StackedRows
from automl_rec_embeddings.row_stores.stored_rows import StoredRows
from automl_rec_embeddings.sizing import BudgetedEmbedding, Structure, large

if TYPE_CHECKING:
    from automl_rec.plugin import Precision


class MixedDim(BudgetedEmbedding):
    """Narrow rows for large tables, or for blocks of rare ids, each with a projection.

    A unit, that is a table or a block, of n ids that a share k of its table's events read has the
    width ``D (s / (n / k))^alpha``, where s is the smallest ``n / k`` of the model: ids keep the
    width that their popularity pays for. A unit that this would not make smaller keeps full rows.

    A budget solves alpha over all tables at once. Where alpha 1 is still too large, as it is where
    all units are alike, all widths shrink by one factor.

    Source: Ginart et al., 2019 (mixed-dimension embeddings; the rule in the form of DLRM's code).
    Blocks of equally many train events are ours.
    """

    def __init__(
        self,
        unit: Literal["block", "field"],
        powers_of_two: bool,  # noqa: FBT001 - a hyperparameter
        precision: "Precision",
        sized_by: str,
        blocks: int = 1,
        budget: float | None = None,
        alpha: float | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self.blocks = blocks if unit == "block" else 1
        self.powers_of_two, self.alpha = powers_of_two, alpha
        self._units: dict[str, list[int]] = {}

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`."""
        self._units = {name: self._cut(field) for name, field in large(fields).items()}
        return super().plan(fields, catalog)

    def at(self, fields: Mapping[str, Field], share: float) -> dict[str, Structure]:
        """See `BudgetedEmbedding.at`."""
        return self._by_rule(fields, alpha=min(2 - 2 * share, 1.0), scale=min(2 * share, 1.0))

    def own(self, fields: Mapping[str, Field]) -> dict[str, Structure]:
        """See `BudgetedEmbedding.own`."""
        assert self.alpha is not None, "it is sized by a budget or its alpha"
        return self._by_rule(fields, alpha=self.alpha, scale=1.0)

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `BudgetedEmbedding.structure_bytes`: rows, projections, places of ids in blocks."""
        sizes, widths = structure["sizes"], structure["widths"]
        units = (self._unit_bytes(*unit, field) for unit in zip(sizes, widths, strict=True))
        places = smallest_unsigned(field.num_rows - 1).itemsize * field.num_rows
        return sum(units, places if len(sizes) > 1 else 0)

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `BudgetedEmbedding.build`."""
        sizes, widths = structure["sizes"], structure["widths"]
        # Blocks have about equally many events: a lookup reads each with the same probability.
        use = Use(products=float(field.scored), rows=field.lookups / len(sizes))
        units = [
            _store(_name(field, j), size, width, field.width, use, generator)
            for j, (size, width) in enumerate(zip(sizes, widths, strict=True))
        ]
        transform: IdTransform = Identity(field.num_rows)
        if len(units) > 1:
            assert field.counts is not None, "only counted ids are cut into blocks"
            transform = ByFrequency(field.counts)
        store = units[0] if len(units) == 1 else StackedRows(units)
        return ComposedTable(field, transform, [store], Sum(), SameWidth(field.width), generator)

    def _cut(self, field: Field) -> list[int]:
        if self.blocks == 1 or field.counts is None or not field.counts.any():
            return [field.num_rows]
        return equal_shares(field.counts, self.blocks)

    def _by_rule(
        self, fields: Mapping[str, Field], alpha: float, scale: float
    ) -> dict[str, Structure]:
        spread = {
            name: [size * len(sizes) for size in sizes]
            for name, sizes in ({n: [f.num_rows] for n, f in fields.items()} | self._units).items()
        }
        least = min(map(min, spread.values()))
        return {
            name: {
                "sizes": sizes,
                "widths": [
                    self._width(fields[name], size, scale * (least / wide) ** alpha)
                    for size, wide in zip(sizes, spread[name], strict=True)
                ],
            }
            for name, sizes in self._units.items()
        }

    def _width(self, field: Field, size: int, share: float) -> int:
        """The rule's width; the full one where fewer columns save nothing."""
        if share >= 1:
            return field.width
        width = min(max(self._rounded(share * field.width), 1), field.width)
        narrow = self._unit_bytes(size, width, field)
        return width if narrow < self._unit_bytes(size, field.width, field) else field.width

    def _rounded(self, width: float) -> int:
        if self.powers_of_two and width >= 1:
            return 1 << floor(log2(width) + 0.5)
        return floor(width + 0.5)

    def _unit_bytes(self, size: int, width: int, field: Field) -> int:
        rows = dense_bytes(size, width, self.precision)
        full = width == field.width
        return rows if full else rows + dense_bytes(width, field.width, self.precision)


def _store(
    name: str, size: int, stored_width: int, width: int, use: Use, generator: torch.Generator
) -> RowStore:
    if stored_width == width:
        return StoredRows(name, size, width, use)
    return ProjectedRows(name, size, stored_width, width, use, generator)


def _name(field: Field, unit: int) -> str:
    return f"{field.name}.store" + (f"-{unit + 1}" if unit else "")
