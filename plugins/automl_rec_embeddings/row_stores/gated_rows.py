"""Rows whose columns are weighed, block of ids by block."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.row_stores.pruned_rows import PrunedRows

if TYPE_CHECKING:
    from automl_rec.plugin import Weight
    from automl_rec_embeddings.row_stores.selection import Selection

TINY = 1e-8
"""Keeps the step of a block without slope at 0."""


class GatedRows(PrunedRows):
    """Rows times the gates of their block, which are in [0, 1] and start at 1.

    Gates have no slope of their own, so that no optimiser moves them: `move_gates` does.
    """

    blocks: Tensor

    def __init__(self, weight: "Weight", selection: "Selection", blocks: Tensor) -> None:
        """Opens all gates.

        Args:
            weight: see `PrunedRows`.
            selection: likewise.
            blocks: (N,) int64, the block of each slot, all from 0 to the largest.
        """
        super().__init__(weight, selection, torch.ones(int(blocks.max()) + 1, weight.columns))
        self.gates.requires_grad_(False)
        # Found again from the counts, and needed by nothing that is stored.
        self.register_buffer("blocks", blocks, persistent=False)

    @property
    def gates(self) -> Tensor:
        """(L, D) in [0, 1]."""
        assert self.learned is not None, "gates are folded into what is served"
        return self.learned

    def acting(self, values: Tensor, slots: Tensor | None) -> Tensor:
        """See `PrunedRows.acting`."""
        blocks = self.blocks if slots is None else self.blocks.index_select(0, slots)
        return values * self.gates.index_select(0, blocks)

    def importance(self) -> Tensor:
        """See `PrunedRows.importance`: the product, since either factor has any scale."""
        return self.rows().detach().abs()

    def open(self) -> None:
        """See `PrunedRows.open`."""
        self.free()
        self.gates.fill_(1.0)

    def close(self) -> None:
        """See `PrunedRows.close`; gates stay where the search left them."""

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`; opens all gates."""
        with torch.no_grad():
            self.gates.fill_(1.0)
        self.weight.assign(rows)

    def settle(self) -> None:
        """See `RowStore.settle`; blocks would only take memory from here on."""
        super().settle()
        del self.blocks

    def move_gates(self, slopes: Tensor, rate: float, l1: float) -> None:
        """Takes a step against slopes (L, D), divided by their block's mean size, and L1."""
        sizes = slopes.abs().mean(1, keepdim=True)
        with torch.no_grad():
            self.gates.sub_(rate * (slopes / (sizes + TINY) + l1)).clamp_(0.0, 1.0)
