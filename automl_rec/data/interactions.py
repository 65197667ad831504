"""Events as numbered columns."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64] | npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Original values, in the order of their numbers.

    Attributes:
        values: (N,) strings, sorted: as numbers if all are integers, else as text.
    """

    values: pl.Series

    @classmethod
    def of(cls, distinct: pl.Series) -> "Vocabulary":
        """Different strings, put in order."""
        numbers = distinct.cast(pl.Int64, strict=False)
        order = pl.DataFrame({"id": distinct, "number": numbers})
        by_number = numbers.null_count() == 0
        return cls(order.sort(["number", "id"] if by_number else ["id"])["id"])

    def __len__(self) -> int:
        return len(self.values)

    def keep(self, kept: npt.NDArray[np.bool_]) -> "Vocabulary":
        """The values kept, numbered anew in the same order."""
        return Vocabulary(self.values.filter(pl.Series(kept)))


@dataclass(frozen=True, slots=True)
class Interactions:
    """Events by user, each user's oldest first; one row an event.

    Attributes:
        user: (E,) user numbers, ascending.
        item: (E,) item numbers.
        users: the users' ids.
        items: the items' ids.
        time: (E,) float64 seconds, or None.
        label: (E,) float32, or None.
        domain: (E,) numbers into ``domains``, -1 unknown, or None.
        behaviour: (E,) numbers into ``behaviours``, -1 unknown, or None.
        part: (E,) int8 parts of given files, or None.
        ordered: whether each user's events have an order in time.
        domains: values of ``domain``.
        behaviours: values of ``behaviour``.
    """

    user: Codes
    item: Codes
    users: Vocabulary
    items: Vocabulary
    time: npt.NDArray[np.float64] | None = None
    label: npt.NDArray[np.float32] | None = None
    domain: Codes | None = None
    behaviour: Codes | None = None
    part: npt.NDArray[np.int8] | None = None
    ordered: bool = False
    domains: Vocabulary | None = None
    behaviours: Vocabulary | None = None

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: Index) -> "Interactions":
        """The events at some positions, or where a mask is true; numbering unchanged."""
        columns: dict[str, Any] = {
            f.name: value[index]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
        return replace(self, **columns)

    def compact(self) -> "Interactions":
        """The same events with users and items numbered without gaps."""
        user, users = _renumbered(self.user, self.users)
        item, items = _renumbered(self.item, self.items)
        return replace(self, user=user, item=item, users=users, items=items)


def encode(values: pl.Series) -> tuple[Codes, Vocabulary]:
    """Numbers (E,) of strings and their vocabulary; a null is numbered -1."""
    vocabulary = Vocabulary.of(values.drop_nulls().unique())
    codes = values.cast(pl.Enum(vocabulary.values)).to_physical().cast(pl.Int32).fill_null(-1)
    return codes.to_numpy(), vocabulary


def _renumbered(codes: Codes, vocabulary: Vocabulary) -> tuple[Codes, Vocabulary]:
    present = np.bincount(codes, minlength=len(vocabulary)) > 0
    if present.all():
        return codes, vocabulary
    return (np.cumsum(present, dtype=np.int32) - 1)[codes], vocabulary.keep(present)
