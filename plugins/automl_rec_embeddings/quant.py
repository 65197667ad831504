"""Rows of few bits, with steps that are learned or fitted."""

from typing import TYPE_CHECKING, Any, Literal

import torch

from automl_rec.plugin import (
    Field,
    Infeasible,
    PlainTable,
    Precision,
    Table,
    Use,
    dense_bytes,
)
from automl_rec_embeddings.codecs import CodedEmbedding
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.learned_steps import LearnedSteps
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.sizing import full_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from automl_rec.plugin import Catalog, Phase, Step

PRECISIONS: dict[int, Precision] = {16: "int16", 8: "int8", 4: "int4"}
"""By bits, the largest first."""


class Quant(CodedEmbedding):
    """Identity, and one row an id of integers with a float32 step.

    Learned steps are trained with the rows, which are read as integers from the first step on; such
    rows are served as they are, so that neither a rank nor a sparsity may change them, and tables
    that they would not make smaller stay full. Fitted steps are what `quantise` chooses when all
    else is done, and what rows get that a model replaces once it has trained (lightgcn, cosines).

    Source: compression specification E8: ALPT (Li et al., AAAI 2023) and row-wise post-training
    quantisation; see `LearnedSteps` for how ours differs from the former.
    """

    def __init__(
        self,
        steps: Literal["learned", "fitted"],
        sized_by: str,
        step_rate: float = 2e-5,
        budget: float | None = None,
        bits: int | None = None,
        *,
        write_back: bool = True,
    ) -> None:
        super().__init__("fp32")
        self._learned, self.budget, self._chosen = steps == "learned", budget, bits
        self._codec = LearnedSteps(step_rate, write_back=write_back)
        self.bits = 0

    @property
    def after_training(self) -> frozenset[str]:
        """See `Embedding.after_training`; rows with fitted steps train as plain ones."""
        return frozenset() if self._learned else frozenset({"sized_by", "budget", "bits"})

    def plan(self, fields: "Mapping[str, Field]", catalog: "Catalog") -> dict[str, Any]:
        """See `Embedding.plan`: the bits of all tables."""
        if self.budget is None:
            return {"bits": self._chosen}
        limit = int(self.budget * sum(map(full_bytes, fields.values())))
        totals = {bits: sum(self._bytes(f, bits) for f in fields.values()) for bits in PRECISIONS}
        fitting = [bits for bits, total in totals.items() if total <= limit]
        if not fitting:
            raise Infeasible(
                f"A budget of {self.budget:g} of the full tables' bytes is {limit:,} bytes, but "
                f"integers of 4 bits need {totals[4]:,}. Raise the budget, or choose another "
                f"embedding."
            )
        return {"bits": fitting[0]}

    def adopt(self, plan: "Mapping[str, Any]") -> None:
        """See `Embedding.adopt`."""
        self.bits = int(plan["bits"])
        if not self._learned:
            self.precision = PRECISIONS[self.bits]

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`."""
        if not self._learned or not self._saves(field, self.bits):
            return PlainTable(field, generator)
        use = Use(products=float(field.scored), rows=field.lookups)
        name, rows = f"{field.name}.store", field.num_rows
        store = self._codec.store(name, rows, field.width, use, PRECISIONS[self.bits])
        output = SameWidth(field.width)
        return ComposedTable(field, Identity(rows), [store], Sum(), output, generator)

    def owned(self) -> "Iterable[nn.Parameter]":
        """See `LifeCycle.owned`."""
        return self._codec.owned()

    def begin(self, phase: "Phase", generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        self._codec.begin(generator)

    def after_step(self, step: "Step") -> None:
        """See `LifeCycle.after_step`."""
        self._codec.after_step(step)

    def _bytes(self, field: Field, bits: int) -> int:
        """Native bytes of a table, encoded."""
        if self._learned and not self._saves(field, bits):
            return full_bytes(field)
        return dense_bytes(field.num_rows, field.width, PRECISIONS[bits])

    def _saves(self, field: Field, bits: int) -> bool:
        coded = dense_bytes(field.num_rows, field.width, PRECISIONS[bits])
        return coded < full_bytes(field)
