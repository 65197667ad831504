"""Stored rows of which the first columns can be read alone."""

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import TrainableMatrix, Use
from automl_rec_embeddings.row_stores.stored_rows import StoredRows


class PrefixRows(StoredRows):
    """One stored row a slot, read up to a column; the others count as 0 and learn nothing.

    In evaluation, what is not served is not read either, so that a training is watched by what
    will be served. `assign` takes whole rows: their first columns are stored exactly.

    Attributes:
        prefix: columns read while a model trains.
        served: columns that are served.
        drawn: (2,) int64, the seed of `draw` and how often it was called; None where nothing is
            ever drawn, and when training is over.
    """

    drawn: Tensor | None

    def __init__(
        self, name: str, size: int, width: int, served: int, use: Use, *, draws: bool = False
    ) -> None:
        super().__init__(name, size, width, use)
        self.prefix, self.served = width, served
        self._remembered: list[tuple[Tensor, Tensor]] | None = None
        self.weight.corner = (size, served)
        self.register_buffer("drawn", torch.zeros(2, dtype=torch.int64) if draws else None)

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`."""
        rows = self._whole(slots)
        cut = self._cut(rows)
        # A model may change in place what it has read; what other reads share must not be.
        return cut.clone() if cut is rows and self._remembered else cut

    def rows(self) -> Tensor:
        """See `RowStore.rows`."""
        return self._cut(super().rows())

    def score(self, x: Tensor) -> Tensor:
        """See `RowStore.score`."""
        return super().score(self._cut(x))

    def settle(self) -> None:
        """See `RowStore.settle`."""
        self.drawn = None

    def remember(self) -> None:
        """Lets the reads of one step share rows, so that many prefixes cost one gradient."""
        self._remembered = []

    def forget(self) -> None:
        """Ends the step that `remember` began, and reads whole rows again."""
        self._remembered, self.prefix = None, self.width

    def seed(self, generator: torch.Generator) -> None:
        """Begins a sequence of draws."""
        if self.drawn is not None:
            self.drawn[0] = torch.randint(2**31, (), generator=generator)
            self.drawn[1] = 0

    def draw(self, high: int) -> int:
        """The next number from 0 to ``high - 1``; it follows from the state alone."""
        assert self.drawn is not None, "it was made to draw"
        seed, number = self.drawn.tolist()
        self.drawn[1] += 1
        generator = torch.Generator().manual_seed(seed + number)
        return int(torch.randint(high, (), generator=generator))

    def _whole(self, slots: Tensor) -> Tensor:
        """Rows (B, D) of slots (B,), those of an earlier read of this step where there was one."""
        for read, rows in self._remembered or ():
            if torch.equal(read, slots):
                return rows
        rows = super().read(slots)
        if self._remembered is not None and torch.is_grad_enabled():
            self._remembered.append((slots, rows))
        return rows

    def _cut(self, rows: Tensor) -> Tensor:
        """Rows (..., D) with zeros in all columns but the first."""
        read = self.prefix if self.training else self.served
        if read == self.width or not isinstance(self.weight.matrix, TrainableMatrix):
            return rows
        return F.pad(rows[..., :read], (0, self.width - read))
