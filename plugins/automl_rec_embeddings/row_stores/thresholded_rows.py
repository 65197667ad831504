"""Rows whose entries are pulled towards 0 by thresholds that are learned with them."""

from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import relu

from automl_rec_embeddings.row_stores.pruned_rows import PrunedRows

if TYPE_CHECKING:
    from automl_rec.plugin import Weight
    from automl_rec_embeddings.row_stores.selection import Selection

Granularity: TypeAlias = Literal["global", "column", "row", "entry"]
OFF = -1000.0
"""Its sigmoid is exactly 0, and so is its slope."""


class ThresholdedRows(PrunedRows):
    """``sign(E) * relu(|E| - sigmoid(s))``, with one s for all, a column, a row or an entry."""

    def __init__(
        self, weight: "Weight", selection: "Selection", granularity: Granularity, start: float
    ) -> None:
        """Sets all thresholds to ``sigmoid(start)``.

        Args:
            weight: see `PrunedRows`.
            selection: likewise.
            granularity: what shares a threshold.
            start: s of all of them.
        """
        size, width = weight.rows, weight.columns
        shapes = {"global": (1, 1), "column": (1, width), "row": (size, 1), "entry": (size, width)}
        super().__init__(weight, selection, torch.full(shapes[granularity], start))
        self._start = start

    def acting(self, values: Tensor, slots: Tensor | None) -> Tensor:
        """See `PrunedRows.acting`."""
        return values.sign() * relu(values.abs() - self._thresholds(slots))

    def importance(self) -> Tensor:
        """See `PrunedRows.importance`: how far an entry is above its threshold."""
        values = self.weight.matrix.dense()
        return (values.abs() - self._thresholds(None)).detach()

    def open(self) -> None:
        """See `PrunedRows.open`."""
        self.free()
        self._s.fill_(self._start)

    def close(self) -> None:
        """See `PrunedRows.close`: the mask takes the place of the thresholds."""
        self._s.fill_(OFF)

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`."""
        with torch.no_grad():
            self.weight.assign(rows + rows.sign() * self._thresholds(None))

    @property
    def _s(self) -> Tensor:
        assert self.learned is not None, "thresholds are folded into what is served"
        return self.learned

    def _thresholds(self, slots: Tensor | None) -> Tensor:
        """Of slots (B,) or of all, in a shape that broadcasts with their rows."""
        own = slots is not None and self._s.shape[0] == self.size > 1
        s = self._s.index_select(0, slots) if own and slots is not None else self._s
        return s.sigmoid()
