"""Rows that are sums over the codes of an id's vector."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from automl_rec.plugin import Catalog, Field, Infeasible, Phase, Table, dense_bytes
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable, use_of
from automl_rec_embeddings.contents import contents
from automl_rec_embeddings.id_transforms.codes import Codes
from automl_rec_embeddings.id_transforms.id_transform import smallest_unsigned
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.residual_quantisation import quantise_residuals
from automl_rec_embeddings.row_stores.stored_rows import StoredRows
from automl_rec_embeddings.semantic_table import SemanticTable
from automl_rec_embeddings.sizing import SizedEmbedding, Structure, most

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from automl_rec.plugin import Precision

METHOD = "semantic ids 1"
"""To be raised when the same contents give other codes."""
PRETRAIN_THEN_TRAIN = (Phase("pretrain", 0.4), Phase("train", 0.6))
FEW_CODES, MOST_CODES = 16, 1024
"""A budget that allows fewer codes gets fewer levels; k-means with more takes minutes."""


class SemanticId(SizedEmbedding):
    """Codes by residual quantisation of an id's vector, and one stored row a code and level.

    The vectors are what is known of items, so that items nobody met get codes of similar ones and
    other tables stay full; or rows learned in full by a first phase of training, whose centres then
    start the stores. A last level numbers ids with the same codes, and so tells up to K of them
    apart. A budget decides the number of codes, and lowers that of levels where few codes would be
    left. A table that this would not make smaller keeps full rows.

    Source: compression specification E18; codes as in TIGER (Rajput et al., 2023) and semantic ids
    for ranking (Singh et al., 2024). Ours takes k-means level by level in place of an
    autoencoder, and adds the row of the number to those of the codes.
    """

    def __init__(
        self,
        source: Literal["pretrained", "content"],
        levels: int,
        unique: bool,  # noqa: FBT001 - as hyperparameters are given
        precision: "Precision",
        sized_by: str,
        budget: float | None = None,
        codes: int | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self.source, self.levels, self.unique, self.codes = source, levels, unique, codes
        self._catalog: Catalog | None = None
        self._tables: list[SemanticTable] = []
        self._pretrained = False

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`: whole rows first, if codes are to be those of learned rows."""
        return PRETRAIN_THEN_TRAIN if self._tables else super().phases

    def owned(self) -> Iterable[nn.Parameter]:
        """See `LifeCycle.owned`: whole rows that are no longer read."""
        tables = self._tables if self._pretrained else ()
        return [table.whole for table in tables if table.whole is not None]

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        self._pretrained = phase != PRETRAIN_THEN_TRAIN[0]
        if not self._pretrained:
            for table in self._tables:
                table.learn_whole()

    def end(self, phase: Phase) -> None:
        """See `LifeCycle.end`."""
        for table in self._tables:
            table.quantise()

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`.

        Raises:
            Infeasible: codes of content are wanted, but there is none; or the budget is out of
                reach.
        """
        self._catalog = catalog
        if not self._coded(fields):
            raise Infeasible(
                "Codes of content need a table of items and features of them, but this model or "
                "these data have none. Declare features of items, or choose source pretrained."
            )
        return super().plan(fields, catalog)

    def at(self, fields: Mapping[str, Field], share: float) -> dict[str, Structure]:
        """See `BudgetedEmbedding.at`."""
        return super().at(self._coded(fields), share)

    def own(self, fields: Mapping[str, Field]) -> dict[str, Structure]:
        """See `BudgetedEmbedding.own`."""
        return super().own(self._coded(fields))

    def largest(self, field: Field, limit: int) -> Structure | None:
        """See `SizedEmbedding.largest`."""
        high = min(MOST_CODES, field.num_rows)
        for levels in range(self.levels, 0, -1):
            codes = most(partial(self._bytes, field, levels), limit, high) or 0
            if codes >= (FEW_CODES if levels > 1 else 2):
                return {"levels": levels, "codes": codes}
        return None

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`."""
        assert self.codes is not None, "it is sized by a budget or its codes"
        return {"levels": self.levels, "codes": min(self.codes, field.num_rows)}

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: a row a code and level, a code an id and level."""
        return self._bytes(field, structure["levels"], structure["codes"])

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        levels, size = structure["levels"], structure["codes"]
        transform = Codes(field.num_rows, levels + self.unique, size, generator)
        use = use_of(field, size, Sum())
        stores = [
            StoredRows(f"{field.name}.level-{level + 1}", size, field.width, use)
            for level in range(levels + self.unique)
        ]
        if self.source == "content":
            if not transform.codes.is_meta:
                transform.codes.copy_(torch.from_numpy(self._content_codes(levels, size)))
            output = SameWidth(field.width)
            return ComposedTable(field, transform, stores, Sum(), output, generator)
        table = SemanticTable(field, transform, stores, generator, unique=self.unique)
        self._tables.append(table)
        return table

    def _bytes(self, field: Field, levels: int, codes: int) -> int:
        code_bytes = field.num_rows * smallest_unsigned(codes - 1).itemsize
        return (levels + self.unique) * (
            dense_bytes(codes, field.width, self.precision) + code_bytes
        )

    def _coded(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        """The tables whose ids have vectors."""
        if self.source == "pretrained":
            return dict(fields)
        known = self._catalog is not None and self._catalog.item_features
        return {name: field for name, field in fields.items() if known and field.ids == "item"}

    def _content_codes(self, levels: int, size: int) -> "npt.NDArray[np.int64]":
        assert self._catalog is not None, "it has planned wherever a table is not blank"
        features = self._catalog.item_features

        def make() -> "dict[str, npt.NDArray[np.int64]]":
            vectors = torch.from_numpy(contents(features))
            found = quantise_residuals(vectors, levels, size, unique=self.unique)
            return {"codes": found.codes.numpy()}

        name = f"{METHOD}, {levels} levels of {size} codes, unique {self.unique}"
        return self._catalog.derived(name, make)["codes"].astype("int64")
