"""Which entries of a store are kept when it settles."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor

from automl_rec.plugin import Interval, dense_form, keep, keep_shape

if TYPE_CHECKING:
    from automl_rec.plugin import Form, Matrix


class Selection(ABC):
    """A choice of entries of a store (N, D): as many as shapes decide, whatever the values."""

    @abstractmethod
    def form(self) -> "Form":
        """What the kept entries will occupy."""

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
    """The entries of largest importance, wherever they are; the first of those that tie."""

    def __init__(self, rows: int, columns: int, entries: int) -> None:
        self._rows, self._columns, self._entries = rows, columns, entries

    def form(self) -> "Form":
        """See `Selection.form`."""
        entries = Interval(self._entries, self._entries)
        return dense_form(self._rows, self._columns).kept(entries)

    def of(self, importance: Tensor) -> Tensor:
        """See `Selection.of`."""
        return largest(importance.reshape(-1), self._entries).reshape(importance.shape)

    def stored(self, values: Tensor, kept: Tensor) -> "Matrix":
        """See `Selection.stored`: compressed rows or a bitmap, whichever is smaller."""
        return keep(values, kept)

    def blank(self) -> "Matrix":
        """See `Selection.blank`."""
        return keep_shape(self._rows, self._columns, self._entries)


def largest(values: Tensor, number: int) -> Tensor:
    """Which of values (E,) are the so many largest, (E,) bool; the first of those that tie."""
    bound = values.kthvalue(len(values) - number + 1).values
    kept = values > bound
    ties = (values == bound).nonzero()[:, 0]
    kept[ties[: number - int(kept.sum())]] = True
    return kept
