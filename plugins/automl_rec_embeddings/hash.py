"""Rows shared by the ids that a hash function sends together."""

from typing import TYPE_CHECKING, Literal

import torch

from automl_rec.plugin import Field, PlainTable, Table
from automl_rec_embeddings.codecs import CodedEmbedding
from automl_rec_embeddings.combinations import Combination, Concat, Product, Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms import (
    HotRows,
    IdTransform,
    UniversalHash,
    smallest_unsigned,
)
from automl_rec_embeddings.output_maps import SameWidth

if TYPE_CHECKING:
    from automl_rec.plugin import Precision

FLOAT32_BYTES = 4
COEFFICIENT_BYTES = 16
COMBINATIONS: dict[str, type[Combination]] = {"sum": Sum, "concat": Concat, "mul": Product}


class Hash(CodedEmbedding):
    """Hashed slots, the most frequent ids' own, in one store or two, and their combination.

    Two hashes have separate stores: in a shared one, ids with the same two slots in another order
    would be equal. With two hashes that are added or multiplied, a frequent id has its own row in
    the first store and reads nothing of the second. Rows of fewer columns than hashes are added,
    never set side by side. A field that this would not make smaller keeps full rows.

    Source: Weinberger et al., 2009 (hashing trick); double hashing after Zhang et al., 2020; the
    share of own rows after the frequency-aware tables of industry. Ours draws universal hash
    functions from the seed.
    """

    def __init__(
        self,
        ratio: float,
        hashes: int,
        hot_share: float,
        precision: "Precision",
        combine: Literal["sum", "concat", "mul"] = "sum",
    ) -> None:
        super().__init__(precision)
        self.ratio, self.hashes, self.hot_share = ratio, hashes, hot_share
        self.combination = COMBINATIONS[combine]()

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`."""
        slots = max(round(self.ratio * field.num_rows), 1)
        hot = 0 if field.counts is None else min(round(self.hot_share * slots), slots - 1)
        # Decided before anything is drawn: a full table then starts as it would without a hash.
        combination = self._combination(field)
        if (
            self._bytes(combination, field, slots, hot)
            >= field.num_rows * field.width * FLOAT32_BYTES
        ):
            return PlainTable(field, generator)
        transform: IdTransform = UniversalHash([slots - hot] * self.hashes, generator)
        if field.counts is not None and hot:
            everywhere = combination.needs_every_part
            transform = HotRows(transform, field.counts, hot, in_every_store=everywhere)
        output = SameWidth(field.width)
        return ComposedTable(field, transform, combination, output, generator)

    def _combination(self, field: Field) -> Combination:
        narrow = self.combination.needs_every_part and field.width < self.hashes
        return Sum() if narrow else self.combination

    def _bytes(self, combination: Combination, field: Field, slots: int, hot: int) -> int:
        """Bytes of the stores, the remap of hot ids and the hash coefficients."""
        widths = combination.widths(field.width, self.hashes)
        others = slots if combination.needs_every_part else slots - hot
        numbers = slots * widths[0] + others * sum(widths[1:])
        remap = field.num_rows * smallest_unsigned(hot).itemsize if hot else 0
        return numbers * FLOAT32_BYTES + remap + self.hashes * COEFFICIENT_BYTES
