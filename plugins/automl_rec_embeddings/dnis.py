"""Gates of columns, learned on held-out events, decide which entries are kept."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from automl_rec.plugin import Field, Form, Phase, Step, Weight, blocks_form
from automl_rec_embeddings.pruning import PrunedEmbedding
from automl_rec_embeddings.row_stores.gated_rows import GatedRows
from automl_rec_embeddings.row_stores.selection import Columns, Entries, Selection

if TYPE_CHECKING:
    from automl_rec.plugin import Precision
    from automl_rec_embeddings.sizing import Structure


class Dnis(PrunedEmbedding):
    """Blocks of ids of like frequency, one gate a block and column, and the largest products kept.

    A step on a train batch moves the rows, then a step on a held-out batch moves the gates: first
    order, each block's slopes divided by their mean size, so that popular blocks do not dominate.

    Source: Cheng et al., 2020 (soft selection layer, bilevel search), with the row-normalised steps
    and the L1 term of the same group's later AutoSrh. Published, gates are judged by the validation
    part; ours holds a share of train out for them, so that validation stays unseen for every
    family alike, and lets a second training have all of train. The number kept is exact by
    selection instead of a threshold: of single entries, as published, or of columns of blocks,
    which are served as dense pieces. The L1 term is added to
    normalised slopes: before, it alone would close the gates of a block that a batch has no id of.
    """

    def __init__(
        self,
        budget: float,
        export: Literal["entries", "columns"],
        blocks: int,
        gate_rate: float,
        l1: float,
        held_out: float,
        precision: "Precision",
        *,
        retrain: bool,
    ) -> None:
        """Sets the scheme.

        Args:
            budget: share of the full tables' bytes.
            export: what is kept or left out as one.
            blocks: number L of blocks of a table.
            gate_rate: learning rate of the gates.
            l1: pull on every gate towards 0, beside slopes of mean size 1.
            held_out: share of the train part that judges the gates.
            precision: of what is served.
            retrain: whether rows are trained again, with gates and selection fixed.
        """
        super().__init__(precision, budget, retrain=retrain)
        self._in_columns = export == "columns"
        self._blocks, self._gate_rate, self._l1 = blocks, gate_rate, l1
        self._held_out = held_out
        self._gated: list[GatedRows] = []

    def owned(self) -> Iterable[nn.Parameter]:
        """See `LifeCycle.owned`."""
        return [store.learned for store in self._gated if store.learned is not None]

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`; nothing is held out where no gates move."""
        super().begin(phase, generator)
        self.held_out = self._held_out if self._searching and self._gated else 0.0

    def judge(self, step: Step) -> None:
        """See `LifeCycle.judge`: moves the gates of the tables that train."""
        stores = [store for store in self._gated if store.weight.trainable.requires_grad]
        if not (self._searching and stores):
            return
        gates = [store.gates.requires_grad_(True) for store in stores]
        slopes = torch.autograd.grad(step.loss(), gates, materialize_grads=True)
        for store, gate, slope in zip(stores, gates, slopes, strict=True):
            gate.requires_grad_(False)
            store.move_gates(slope, self._gate_rate, self._l1)

    def store(self, weight: Weight, field: Field, kept: int) -> GatedRows:
        """See `PrunedEmbedding.store`."""
        shape, blocks = (field.num_rows, field.width), blocks_of(field, self._blocks)
        selection: Selection = Entries(*shape, kept)
        if self._in_columns:
            selection = Columns(*shape, kept, blocks)
        made = GatedRows(weight, selection, blocks)
        self._gated.append(made)
        return made

    def form(self, field: Field, kept: int) -> Form:
        """See `PrunedEmbedding.form`."""
        if not self._in_columns:
            return super().form(field, kept)
        return blocks_form(field.num_rows, field.width, self._number(field), kept)

    def largest(self, field: Field, limit: int) -> "Structure | None":
        """See `SizedEmbedding.largest`; bytes grow with the columns in equal steps."""
        if not self._in_columns:
            return super().largest(field, limit)
        first, second = (self.structure_bytes(field, {"kept": kept}) for kept in (1, 2))
        kept = min(1 + (limit - first) // (second - first), self._number(field) * field.width)
        return {"kept": kept} if kept >= 1 else None

    def _number(self, field: Field) -> int:
        return min(self._blocks, field.num_rows)


def blocks_of(field: Field, number: int) -> Tensor:
    """The block of each id, (N,) int64: as many ids in each, but for one, most frequent first."""
    rows = field.num_rows
    counts = np.zeros(rows) if field.counts is None else field.counts
    blocks = np.empty(rows, np.int64)
    blocks[np.argsort(-counts, kind="stable")] = np.arange(rows) * min(number, rows) // rows
    return torch.from_numpy(blocks)
