"""Two small stores whose rows make a different row for every id."""

from math import isqrt
from typing import TYPE_CHECKING

import torch

from automl_rec.plugin import Field, Table, dense_bytes
from automl_rec_embeddings.combinations.by_name import combination_of
from automl_rec_embeddings.composition import ComposedTable, use_of
from automl_rec_embeddings.id_transforms.quotient_remainder import (
    SHUFFLE_BYTES,
    QuotientRemainder,
    store_sizes,
)
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.stored_rows import StoredRows
from automl_rec_embeddings.sizing import SizedEmbedding, Structure, most

if TYPE_CHECKING:
    from automl_rec.plugin import Precision
    from automl_rec_embeddings.combinations.by_name import Name
    from automl_rec_embeddings.combinations.combination import Combination


class QR(SizedEmbedding):
    """Quotient and remainder of the id, a store for each, and their combination.

    By its own knob, up to ``collisions`` ids share a row of the quotients, but no more than leave
    the fewest rows in all. A budget moves the divisor above the root of the number of ids instead,
    where remainders take the part of quotients and every row more is a step.

    Source: Shi et al., 2019 (compositional embeddings with the quotient-remainder trick). Ours
    shuffles the ids first, and starts the larger store small and the other near 1 where they are
    multiplied.
    """

    def __init__(
        self,
        combine: "Name",
        precision: "Precision",
        sized_by: str,
        budget: float | None = None,
        collisions: int | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self.combine, self.collisions = combine, collisions

    def largest(self, field: Field, limit: int) -> Structure | None:
        """See `SizedEmbedding.largest`; bytes do not fall from the root of N ids on."""
        first = _root(field.num_rows) - 1
        more = most(
            lambda n: self.structure_bytes(field, {"divisor": first + n}),
            limit,
            field.num_rows - first,
        )
        return None if more is None else {"divisor": first + more}

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`."""
        assert self.collisions is not None, "it is sized by a budget or its collisions"
        return {"divisor": min(self.collisions, _root(field.num_rows))}

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: stores and shuffle."""
        sizes = store_sizes(field.num_rows, structure["divisor"])
        widths = self._combination(field).widths(field.width, 2)
        stores = zip(sizes, widths, strict=True)
        return SHUFFLE_BYTES + sum(dense_bytes(*shape, self.precision) for shape in stores)

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        transform = QuotientRemainder(field.num_rows, structure["divisor"], generator)
        combination = self._combination(field)
        shapes = zip(transform.sizes, combination.widths(field.width, 2), strict=True)
        stores = [
            StoredRows(f"{field.name}.{name}", size, width, use_of(field, size, combination))
            for name, (size, width) in zip(("store", "store-2"), shapes, strict=True)
        ]
        output = SameWidth(field.width)
        return ComposedTable(field, transform, stores, combination, output, generator)

    def _combination(self, field: Field) -> "Combination":
        return combination_of(self.combine, field.width, 2)


def _root(ids: int) -> int:
    """The divisor that leaves the fewest rows: the root of the number of ids, rounded up."""
    return isqrt(ids - 1) + 1 if ids else 1
