"""Which entries of a store are kept when it settles."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec.plugin import in_blocks, in_blocks_shape, keep, keep_shape

if TYPE_CHECKING:
    from automl_rec.plugin import Matrix


class Selection(ABC):
    """A choice of entries of a store (N, D): as many as planned, whatever the values."""

    def __init__(self, rows: int, columns: int, kept: int) -> None:
        self._shape, self._kept = (rows, columns), kept

    @abstractmethod
    def of(self, importance: Tensor) -> Tensor:
        """Which entries are kept, (N, D) bool, of those with some importance (N, D)."""

    @abstractmethod
    def stored(self, values: Tensor, kept: Tensor) -> "Matrix":
        """The kept entries of values (N, D), as they are served."""

    @abstractmethod
    def blank(self) -> "Matrix":
        """What `stored` makes, on the meta device."""


class Entries(Selection):
    """The entries of largest importance, wherever they are."""

    def of(self, importance: Tensor) -> Tensor:
        """See `Selection.of`; the first of those that tie."""
        return _largest(importance, self._kept)

    def stored(self, values: Tensor, kept: Tensor) -> "Matrix":
        """See `Selection.stored`: compressed rows or a bitmap, whichever is smaller."""
        return keep(values, kept)

    def blank(self) -> "Matrix":
        """See `Selection.blank`."""
        return keep_shape(*self._shape, self._kept)


class Columns(Selection):
    """The columns of largest importance of blocks of rows, by its root mean square."""

    def __init__(self, rows: int, columns: int, kept: int, blocks: Tensor) -> None:
        """Takes note of the blocks.

        Args:
            rows: N.
            columns: D.
            kept: columns of all blocks together.
            blocks: (N,) int64 block of each row; all have as many, but for one.
        """
        super().__init__(rows, columns, kept)
        self._blocks, self._number = blocks, int(blocks.max()) + 1

    def of(self, importance: Tensor) -> Tensor:
        """See `Selection.of`."""
        sums = torch.zeros(self._number, self._shape[1])
        sums.index_add_(0, self._blocks, importance.square())
        means = sums / self._blocks.bincount()[:, None]
        return _largest(means, self._kept)[self._blocks]

    def stored(self, values: Tensor, kept: Tensor) -> "Matrix":
        """See `Selection.stored`: dense pieces."""
        of_blocks = torch.zeros(self._number, self._shape[1], dtype=torch.bool)
        of_blocks[self._blocks] = kept
        return in_blocks(values, self._blocks, of_blocks)

    def blank(self) -> "Matrix":
        """See `Selection.blank`."""
        return in_blocks_shape(*self._shape, self._number, self._kept)


def _largest(values: Tensor, number: int) -> Tensor:
    """Which of values are the so many largest, bool; the first of those that tie."""
    flat = values.reshape(-1)
    bound = flat.kthvalue(len(flat) - number + 1).values
    kept = flat > bound
    ties = (flat == bound).nonzero()[:, 0]
    kept[ties[: number - int(kept.sum())]] = True
    return kept.reshape(values.shape)
