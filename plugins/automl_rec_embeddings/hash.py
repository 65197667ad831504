"""Rows shared by the ids that a hash function sends together."""

from typing import TYPE_CHECKING

import torch

from automl_rec.plugin import Field, Table, dense_bytes
from automl_rec_embeddings.combinations.by_name import combination_of
from automl_rec_embeddings.composition import ComposedTable, use_of
from automl_rec_embeddings.id_transforms.hot_rows import HotRows
from automl_rec_embeddings.id_transforms.id_transform import IdTransform, smallest_unsigned
from automl_rec_embeddings.id_transforms.universal_hash import COEFFICIENT_BYTES, UniversalHash
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.stored_rows import StoredRows
from automl_rec_embeddings.sizing import SizedEmbedding, Structure, most

if TYPE_CHECKING:
    from automl_rec.plugin import Precision
    from automl_rec_embeddings.combinations.by_name import Name
    from automl_rec_embeddings.combinations.combination import Combination


class Hash(SizedEmbedding):
    """Hashed slots, the most frequent ids' own, in one store or two, and their combination.

    Two hashes have separate stores: in a shared one, ids with the same two slots in another order
    would be equal. With two hashes that are added or multiplied, a frequent id has its own row in
    the first store and reads nothing of the second. Rows of fewer columns than hashes are added,
    never set side by side. A table that this would not make smaller keeps full rows. Within a
    budget, a table whose remap of frequent ids would take most of it has none.

    Source: Weinberger et al., 2009 (hashing trick); double hashing after Zhang et al., 2020; the
    share of own rows after the frequency-aware tables of industry. Ours draws universal hash
    functions from the seed.
    """

    def __init__(
        self,
        hashes: int,
        hot_share: float,
        precision: "Precision",
        sized_by: str,
        combine: "Name" = "sum",
        budget: float | None = None,
        ratio: float | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self.ratio, self.hashes, self.hot_share = ratio, hashes, hot_share
        self.combine = combine

    def largest(self, field: Field, limit: int) -> Structure | None:
        """See `SizedEmbedding.largest`: own rows only where their remap leaves room for rows."""
        found, plain = self._filling(field, limit, self.hot_share), self._filling(field, limit, 0.0)
        if found is None or plain is None:
            return plain
        return found if 2 * found["slots"] >= plain["slots"] else plain

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`."""
        assert self.ratio is not None, "it is sized by a budget or its ratio"
        slots = max(round(self.ratio * field.num_rows), 1)
        return _slots(field, slots, self.hot_share)

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: stores, remap of hot ids, hash coefficients."""
        sizes = self._sizes(field, structure)
        widths = self._combination(field).widths(field.width, self.hashes)
        stores = sum(
            dense_bytes(size, width, self.precision)
            for size, width in zip(sizes, widths, strict=True)
        )
        hot = structure["hot"]
        remap = field.num_rows * smallest_unsigned(hot).itemsize if hot else 0
        return stores + remap + self.hashes * COEFFICIENT_BYTES

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        hot, combination = structure["hot"], self._combination(field)
        cold = [structure["slots"] - hot] * self.hashes
        transform: IdTransform = UniversalHash(cold, generator)
        if hot and field.counts is not None:
            everywhere = combination.needs_every_part
            transform = HotRows(transform, field.counts, hot, in_every_store=everywhere)
        widths = combination.widths(field.width, self.hashes)
        stores = [
            StoredRows(_name(field, j), size, width, use_of(field, size, combination))
            for j, (size, width) in enumerate(zip(transform.sizes, widths, strict=True))
        ]
        output = SameWidth(field.width)
        return ComposedTable(field, transform, stores, combination, output, generator)

    def _filling(self, field: Field, limit: int, hot_share: float) -> Structure | None:
        """The most slots that keep a limit, with a share of them for the most frequent ids."""

        def bytes_of(slots: int) -> int:
            return self.structure_bytes(field, _slots(field, slots, hot_share))

        slots = most(bytes_of, limit, field.num_rows)
        return None if slots is None else _slots(field, slots, hot_share)

    def _sizes(self, field: Field, structure: Structure) -> list[int]:
        slots, hot = structure["slots"], structure["hot"]
        others = slots if self._combination(field).needs_every_part else slots - hot
        return [slots] + [others] * (self.hashes - 1)

    def _combination(self, field: Field) -> "Combination":
        return combination_of(self.combine, field.width, self.hashes)


def _slots(field: Field, slots: int, hot_share: float) -> Structure:
    hot = 0 if field.counts is None else min(round(hot_share * slots), slots - 1)
    return {"slots": slots, "hot": hot}


def _name(field: Field, store: int) -> str:
    return f"{field.name}.store" + (f"-{store + 1}" if store else "")
