"""Tables as tensor trains."""

from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import torch

from automl_rec.plugin import Field, Table, Use, dense_bytes
from automl_rec_embeddings.combinations.tensor_train import TensorTrain, TrainShape
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms.mixed_radix import MixedRadix
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.core_rows import CoreRows
from automl_rec_embeddings.sizing import SizedEmbedding, Structure, most

if TYPE_CHECKING:
    from automl_rec.plugin import Precision

LARGEST_RANK = 64
"""Beyond it, a row costs more than a hundred thousand multiply-adds."""


class TT(SizedEmbedding):
    """The digits of an id, three cores, and the product of the matrices they name.

    Ids are written in three digits of about the cube root of their number, the width in three
    factors that are as equal as can be. Both ranks are the rank chosen; a budget may make the
    first of them one larger than the second. No rank is larger than what any table needs.

    Source: TT-Rec (Yin et al., 2021); rows given by a closed form are stored by the TT-SVD
    (Oseledets, 2011).
    """

    def __init__(
        self,
        precision: "Precision",
        sized_by: str,
        budget: float | None = None,
        rank: int | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self.rank = rank

    def largest(self, field: Field, limit: int) -> Structure | None:
        """See `SizedEmbedding.largest`."""
        total = most(
            lambda total: self.structure_bytes(field, _ranks(field, total)),
            limit,
            2 * LARGEST_RANK,
        )
        return None if total is None else _ranks(field, total)

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`."""
        assert self.rank is not None, "it is sized by a budget or its rank"
        return _ranks(field, 2 * self.rank)

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: the cores."""
        shape = _shape(field, structure)
        return sum(
            dense_bytes(rows, width, self.precision)
            for rows, width in zip(shape.rows, shape.widths, strict=True)
        )

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        shape = _shape(field, structure)
        stores = [
            CoreRows(f"{field.name}.core-{j}", rows, width, Use(rows=field.lookups))
            for j, (rows, width) in enumerate(zip(shape.rows, shape.widths, strict=True), 1)
        ]
        transform, output = MixedRadix(shape.rows), SameWidth(field.width)
        return ComposedTable(field, transform, stores, TensorTrain(shape), output, generator)


@cache
def bases(ids: int) -> tuple[int, int, int]:
    """Three bases, as equal as can be, whose numbers of three digits are enough for the ids."""
    first = next(base for base in range(1, ids + 1) if base**3 >= ids)
    rest = -(-ids // first)
    second = next(base for base in range(1, rest + 1) if base**2 >= rest)
    return first, second, -(-rest // second)


@cache
def factors(width: int) -> tuple[int, int, int]:
    """Three factors of the width of the least sum; the smallest in the middle, the largest last."""
    divisors = [n for n in range(1, width + 1) if width % n == 0]
    pairs = product(divisors, divisors)
    triples = [(a, b, width // a // b) for a, b in pairs if width % (a * b) == 0]
    small, middle, large = sorted(min(triples, key=sum))
    return middle, small, large


def _ranks(field: Field, total: int) -> Structure:
    """Ranks that add up to ``total``, unless a table of this shape needs no rank so large."""
    (p1, p2, p3), (q1, q2, q3) = bases(field.num_rows), factors(field.width)
    first = min((total + 1) // 2, p1 * q1, p2 * q2 * p3 * q3)
    second = min(max(total // 2, 1), p1 * q1 * p2 * q2, p3 * q3)
    return {"ranks": [first, second]}


def _shape(field: Field, structure: Structure) -> TrainShape:
    first, second = structure["ranks"]
    return TrainShape(bases(field.num_rows), factors(field.width), (first, second))
