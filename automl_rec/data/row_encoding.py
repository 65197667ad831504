"""How the cells of rows become the values of fields: learned on train, kept with the artefact."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from automl_rec.data import cells
from automl_rec.data.cells import Cells
from automl_rec.data.interactions import Vocabulary
from automl_rec.data.parquet import read_parquet
from automl_rec.data.request import FieldKind
from automl_rec.data.table import ROW
from automl_rec.errors import DAMAGE, DataError, reason_of
from automl_rec.plugin.catalog import Feature, IntArray

LARGEST_WHOLE_BIN = 2.0
"""Bins are whole numbers up to here, and squared logarithms beyond."""
FURTHEST = 1e6
"""Deviations from the mean at which the numbers of new rows are cut, lest judgements overflow. No
number of n train rows is further away than the root of n."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field's cells are and what they hold.

    Attributes:
        name: of the field.
        column: of the cells.
        kind: what they hold.
        separator: between the values of a multi-valued cell.
    """

    name: str
    column: str
    kind: FieldKind
    separator: str = "|"

    def read(self, column: Cells) -> pl.Series:
        """The cells as text, lists of text or Float64, by kind; null where one is empty.

        Raises:
            DataError: a cell is no number where one is needed.
        """
        match self.kind:
            case "categorical":
                return cells.categories(column)
            case "multi":
                return cells.several(column, self.separator)
            case "numeric":
                return cells.optional_numbers(column).fill_nan(None)
            case "binned":
                return _bins(cells.optional_numbers(column).fill_nan(None))


@dataclass(frozen=True, slots=True)
class Lookup:
    """A field's cells by the id of a user or item, for rows that do not bring them.

    Attributes:
        key: the rows' column of ids.
        ids: (N,) text, each once.
        cells: (N,) as `Source.read` gives them.
    """

    key: str
    ids: pl.Series
    cells: pl.Series

    def of(self, ids: pl.Series) -> pl.Series:
        """(R,) the cells of some ids, null where an id is unknown."""
        known = pl.DataFrame({"id": self.ids, "cell": self.cells})
        return pl.DataFrame({"id": ids}).join(known, "id", "left", maintain_order="left")["cell"]


@dataclass(frozen=True, slots=True)
class FieldEncoding:
    """What was learned of one field.

    Attributes:
        source: where its cells are.
        vocabulary: of all kinds but numeric, the values with a number of their own: the value at
            place n has number n + 1; every other value has number 0.
        mean: of a numeric field's train values.
        std: the same, 1 where they are all equal.
        lookup: of a field that comes from a file of features.
    """

    source: Source
    vocabulary: Vocabulary | None = None
    mean: float = 0.0
    std: float = 1.0
    lookup: Lookup | None = None

    @classmethod
    def learn(
        cls, source: Source, train: pl.Series, min_count: int, lookup: Lookup | None = None
    ) -> "FieldEncoding":
        """The encoding that the cells of the train rows ask for.

        Args:
            source: where the cells are.
            train: (R,) as `Source.read` gives them.
            min_count: rows a value must be met in to have a number of its own.
            lookup: where cells are looked up.
        """
        if source.kind == "numeric":
            known = train.drop_nulls().to_numpy()
            mean, std = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
            return cls(source, None, mean, std or 1.0, lookup)
        met = flatten(train)[1] if source.kind == "multi" else train.drop_nulls()
        counts = pl.DataFrame({"id": met}).group_by("id").len()
        kept = counts.filter(pl.col("len") >= min_count)["id"]
        return cls(source, Vocabulary.of(kept), lookup=lookup)

    @property
    def kind(self) -> tuple[str, int]:
        """Kind and cardinality of the `Feature` that `encode` gives."""
        if self.vocabulary is None:
            return "numeric", 0
        return "multi" if self.source.kind == "multi" else "categorical", len(self.vocabulary) + 1

    @property
    def needed(self) -> str:
        """The column that new rows must bring at least."""
        return self.source.column if self.lookup is None else self.lookup.key

    def column_in(self, given: Collection[str]) -> str | None:
        """The column to read of those that rows bring, their own before that of ids."""
        return next((name for name in (self.source.column, self.needed) if name in given), None)

    def cells_of(self, frame: pl.DataFrame, where: str) -> pl.Series:
        """(R,) the field's cells of new rows, looked up where the rows do not bring them."""
        if self.source.column in frame.columns:
            return self.source.read(_cells(frame, self.source.column, where))
        assert self.lookup is not None, "missing columns are refused before"
        return self.lookup.of(cells.categories(_cells(frame, self.lookup.key, where)))

    def encode(self, found: pl.Series) -> Feature:
        """The values (R,) of cells as `Source.read` gives them."""
        if self.vocabulary is None:
            standardised = ((found - self.mean) / self.std).clip(-FURTHEST, FURTHEST)
            numbers = standardised.fill_null(0.0).cast(pl.Float32)
            return Feature("numeric", numbers.to_numpy())
        cardinality = len(self.vocabulary) + 1
        if self.source.kind != "multi":
            return Feature("categorical", self._numbers(found, self.vocabulary), cardinality)
        indptr, flat = flatten(found)
        return Feature("multi", self._numbers(flat, self.vocabulary), cardinality, indptr)

    @staticmethod
    def _numbers(found: pl.Series, vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
        places = found.cast(pl.Enum(vocabulary.values), strict=False).to_physical()
        return (places.cast(pl.Int32) + 1).fill_null(0).to_numpy()


@dataclass(frozen=True, slots=True)
class RowEncoding:
    """What was learned of all fields: enough to judge new rows without the prepared data.

    Attributes:
        fields: in the order of the RowTables'.
    """

    fields: tuple[FieldEncoding, ...] = field(default_factory=tuple)

    def encode(self, frame: pl.DataFrame, where: str = "rows") -> dict[str, Feature]:
        """The fields of new rows: name -> values (R,), as a RowTable holds them.

        A field of a file of features is looked up by the user or item unless the rows bring its
        column. Values that train did not know become 0.

        Args:
            frame: R rows, text or typed; other columns than the fields' are ignored.
            where: what messages call it.

        Raises:
            DataError: a column is missing, or a cell is no number where one is needed.
        """
        self.read_columns(frame.columns, where)
        return {
            known.source.name: known.encode(known.cells_of(frame, where)) for known in self.fields
        }

    def kinds(self) -> dict[str, tuple[str, int]]:
        """Name of each field -> kind and cardinality of the `Feature` that `encode` gives."""
        return {known.source.name: known.kind for known in self.fields}

    def read_columns(self, given: Sequence[str], where: str = "rows") -> list[str]:
        """Which of the columns given `encode` reads.

        Raises:
            DataError: one that it needs is missing.
        """
        missing = [known.needed for known in self.fields if known.column_in(given) is None]
        if missing:
            absent = " and no ".join(repr(name) for name in dict.fromkeys(missing))
            raise DataError(
                f"{where}: there is no column {absent}; the columns are "
                f"{', '.join(given) or 'none'}. Give the columns that the model was trained on: "
                f"{', '.join(dict.fromkeys(known.needed for known in self.fields))}."
            )
        found = [known.column_in(given) or known.needed for known in self.fields]
        return list(dict.fromkeys(found))

    def write(self, path: Path) -> None:
        """Write it as one Parquet file."""
        frame = pl.DataFrame([_plain(known) for known in self.fields], schema=_SCHEMA)
        frame.write_parquet(path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> "RowEncoding":
        """What `write` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            frame = read_parquet(path).match_to_schema(_SCHEMA)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(_damage(path, str(error).splitlines()[0])) from error
        try:
            return cls(tuple(_rebuilt(frame[place]) for place in range(frame.height)))
        except DAMAGE as error:
            raise DataError(_damage(path, reason_of(error))) from error


def flatten(lists: pl.Series) -> tuple[IntArray, pl.Series]:
    """(R + 1,) int64 where each list starts, and the values of all; null counts as empty."""
    lengths = lists.list.len().fill_null(0).to_numpy()
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return indptr, lists.filter(lists.list.len() > 0).explode()


def _bins(numbers: pl.Series) -> pl.Series:
    """Whole numbers up to 2; beyond, 2 and the squared logarithm rounded down; -1 below 0."""
    n = pl.col("n")
    beyond = LARGEST_WHOLE_BIN + (n.log() ** 2).floor()
    small = pl.when(n < 0).then(-1.0).otherwise(n.floor())
    found = pl.when(n > LARGEST_WHOLE_BIN).then(beyond).otherwise(small)
    bins = pl.DataFrame({"n": numbers}).select(found.cast(pl.Int64).cast(pl.String))
    return bins.to_series()


def _cells(frame: pl.DataFrame, column: str, where: str) -> Cells:
    counted = pl.int_range(1, frame.height + 1, eager=True)
    return Cells(frame[column], frame[ROW] if ROW in frame.columns else counted, column, where)


def _plain(known: FieldEncoding) -> dict[str, Any]:
    """One row of the file."""
    row: dict[str, Any] = {name: getattr(known.source, name) for name in _SOURCE}
    row |= {"mean": known.mean, "std": known.std}
    if known.vocabulary is not None:
        row["vocabulary"] = known.vocabulary.values
    if known.lookup is not None:
        held = _HELD_AS[known.source.kind]
        row |= {"key": known.lookup.key, "ids": known.lookup.ids, held: known.lookup.cells}
    return row


def _damage(path: Path, reason: str) -> str:
    return (
        f"{path}: these are no whole encodings of rows ({reason}). "
        "Delete what they belong to and make it again."
    )


def _rebuilt(row: pl.DataFrame) -> FieldEncoding:
    values = {name: row[name][0] for name in _SCHEMA}
    _require_whole(values)
    source = Source(**{name: values[name] for name in _SOURCE})
    vocabulary = values["vocabulary"]
    return FieldEncoding(
        source,
        None if vocabulary is None else Vocabulary(vocabulary.rename("id")),
        values["mean"],
        values["std"],
        None
        if values["key"] is None
        else Lookup(values["key"], values["ids"], values[_HELD_AS[source.kind]]),
    )


def _require_whole(values: Mapping[str, Any]) -> None:
    """Refuses a row of the file that `_plain` does not write.

    Raises:
        ValueError: saying what is wrong with it.
    """
    for name in (*_SOURCE, "mean", "std"):
        if values[name] is None:
            raise ValueError(f"a field has no {name}")
    held = values[_HELD_AS[values["kind"]]]
    vocabulary, ids = values["vocabulary"], values["ids"]
    if (vocabulary is None) != (values["kind"] == "numeric"):
        raise ValueError(f"the field {values['name']} has the vocabulary of another kind")
    if not (math.isfinite(values["mean"]) and 0 < values["std"] < math.inf):
        raise ValueError(f"the field {values['name']} has no mean and deviation")
    for listed in (known for known in (vocabulary, ids) if known is not None):
        if listed.null_count() or listed.n_unique() != len(listed):
            raise ValueError(f"the field {values['name']} lists a value twice, or nothing")
    if values["key"] is not None and (ids is None or held is None or len(ids) != len(held)):
        raise ValueError(f"the field {values['name']} has other ids than cells")


_SOURCE = ("name", "column", "kind", "separator")
_HELD_AS = {"categorical": "texts", "multi": "lists", "numeric": "numbers", "binned": "texts"}
_SCHEMA = pl.Schema(
    {
        **dict.fromkeys(_SOURCE, pl.String()),
        "vocabulary": pl.List(pl.String()),
        "mean": pl.Float64(),
        "std": pl.Float64(),
        "key": pl.String(),
        "ids": pl.List(pl.String()),
        "texts": pl.List(pl.String()),
        "lists": pl.List(pl.List(pl.String())),
        "numbers": pl.List(pl.Float64()),
    }
)
