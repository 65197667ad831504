"""Cells of one column -> ids, numbers and seconds; a bad one is named by its row."""

from dataclasses import dataclass

import polars as pl

from automl_rec.errors import DataError

LARGEST = 3.4e38
"""Of the numbers that features and fields may hold: float32 ends here."""
_REMAP = "Correct it, or map another column."


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one column of one file.

    Attributes:
        values: the cells as read.
        rows: number in the file of each.
        column: its name.
        where: the file.
    """

    values: pl.Series
    rows: pl.Series
    column: str
    where: str

    def refuse(self, bad: pl.Series, required: str, remedy: str) -> None:
        """Refuse the first bad cell, if there is one.

        Args:
            bad: which cells break the requirement; null counts as not.
            required: completes "must be ...".
            remedy: a sentence.

        Raises:
            DataError: naming file, row, column and cell.
        """
        bad = bad.fill_null(value=False)
        if not bad.any():
            return
        first = bad.arg_max() or 0
        received = _shown(self.values.slice(first, 1))
        raise DataError(
            f"{self.where}: row {self.rows[first]}, column {self.column!r} must be {required}, "
            f"got {received}. {remedy}"
        )


def _shown(single: pl.Series) -> str:
    """How messages show a cell, given as a series of one."""
    if isinstance(single.dtype, pl.Date | pl.Datetime):  # Python knows only the years 1 to 9999
        single = single.cast(pl.String)
    value = single.to_list()[0]
    return "nothing" if value is None or value == "" else repr(value)


def ids(cells: Cells) -> pl.Series:
    """Ids as text, without surrounding blanks.

    Raises:
        DataError: an id is empty or NaN.
    """
    values = _whole(cells) if cells.values.dtype.is_float() else cells.values
    text = _cast(cells, values, pl.String()).str.strip_chars()
    bad = text.is_null() | (text == "") | text.is_in(["nan", "NaN"])
    cells.refuse(bad, "an id", "Fill it in, or remove the row.")
    return text


def values(cells: Cells) -> pl.Series:
    """Names of domains or behaviours as text, null where the cell is empty."""
    return _cast(cells, cells.values, pl.String()).str.strip_chars().replace("", None)


def categories(cells: Cells) -> pl.Series:
    """Values as text, null where the cell is empty or NaN; 3.0 is 3, however a file writes it."""
    known = cells.values.fill_nan(None) if cells.values.dtype.is_float() else cells.values
    return whole_as_such(_cast(cells, known, pl.String()).str.strip_chars().replace("", None))


def whole_as_such(text: pl.Series) -> pl.Series:
    """Texts, those of whole numbers without a fraction."""
    if not text.str.contains(".", literal=True).any():  # spares most columns the slow search
        return text
    return text.str.replace(r"^(-?\d+)\.0+$", "$1")


def several(cells: Cells, separator: str) -> pl.Series:
    """Lists of different texts: list cells, or text divided by ``separator``; empty may be null.

    Empty parts are left out.
    """
    if isinstance(cells.values.dtype, pl.List):
        parts = _cast(cells, cells.values, pl.List(pl.String()))
    else:
        parts = values(cells).str.split(separator)
    stripped = parts.list.eval(pl.element().str.strip_chars())
    return stripped.list.filter(pl.element() != "").list.unique(maintain_order=True)


def numbers(cells: Cells) -> pl.Series:
    """Float64 numbers.

    Raises:
        DataError: a cell is not a finite number.
    """
    found = _floats(cells)
    cells.refuse(~found.is_finite().fill_null(value=False), "a number", _REMAP)
    return found


def optional_numbers(cells: Cells) -> pl.Series:
    """Float64 numbers, NaN where the cell is empty.

    Raises:
        DataError: a cell is neither empty nor a number that float32 can hold.
    """
    found = _floats(cells)
    bad = (found.is_null() & _filled(cells.values)) | found.is_infinite()
    remedy = "Correct it, or give the column another kind."
    cells.refuse(bad, "a number or empty", remedy)
    cells.refuse(found.abs() > LARGEST, f"a number up to {LARGEST:.1e} or empty", remedy)
    return found.fill_null(float("nan"))


def vectors(cells: Cells, parts: pl.Series) -> pl.Series:
    """Float32 arrays of one length, null where the cell is empty.

    Args:
        cells: as read.
        parts: the lists of numbers that they hold, as numbers or as text.

    Raises:
        DataError: a cell holds something else than numbers, or another count of them than the
            cells above, or all cells are empty.
    """
    lists = _cast(cells, _lists(parts), pl.List(pl.Float32()), strict=False)
    lists = lists.set(lists.list.len() == 0, None)
    numbers = lists.list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
    cells.refuse(~numbers, "numbers", "Correct it, or leave the cell empty.")
    lengths = lists.list.len()
    first = lengths.drop_nulls().head(1)
    if first.is_empty():
        raise DataError(
            f"{cells.where}: column {cells.column!r} must hold a vector somewhere, but all its "
            "cells are empty. Leave the feature out."
        )
    required = f"a vector of {first[0]} numbers, as above"
    cells.refuse(lengths != first[0], required, "Give all vectors one length.")
    return lists.cast(pl.Array(pl.Float32, first[0]))


def seconds(cells: Cells) -> pl.Series:
    """Float64 times: numbers as they are, dates as seconds since 1970.

    Raises:
        DataError: a cell is neither a number of at least 0 nor an ISO date.
    """
    is_date = cells.values.dtype.is_temporal()
    found = _epoch(_cast(cells, cells.values, pl.Datetime("us"))) if is_date else _floats(cells)
    if cells.values.dtype == pl.String and found.null_count() > cells.values.null_count():
        found = found.fill_null(_parsed_dates(cells.values))
    bad = ~(found.is_finite().fill_null(value=False) & (found >= 0).fill_null(value=False))
    required = "a time: a number of at least 0, or a date such as 2024-05-31 18:30:00"
    cells.refuse(bad, required, "Correct it, or remove the row.")
    return found


def _whole(cells: Cells) -> pl.Series:
    found = cells.values
    fractional = found.is_not_nan() & (found != found.round(0))
    cells.refuse(fractional, "a whole number or text", "Map another column.")
    return found.fill_nan(None).cast(pl.Int64, strict=False)


def _filled(found: pl.Series) -> pl.Series:
    """Which cells hold something, blanks not counted."""
    if found.dtype == pl.String:
        return found.is_not_null() & (found.str.strip_chars() != "")
    return found.is_not_null()


def _floats(cells: Cells) -> pl.Series:
    found = cells.values
    if found.dtype == pl.String:
        return found.str.strip_chars().cast(pl.Float64, strict=False)
    return _cast(cells, found, pl.Float64())


def _lists(parts: pl.Series) -> pl.Series:
    return parts.arr.to_list() if isinstance(parts.dtype, pl.Array) else parts


def _cast(cells: Cells, found: pl.Series, dtype: pl.DataType, *, strict: bool = True) -> pl.Series:
    try:
        made = found.cast(dtype, strict=strict)
        if made.dtype == dtype:  # a struct would stay one, its fields cast
            return made
    except pl.exceptions.PolarsError:
        pass
    raise DataError(
        f"{cells.where}: column {cells.column!r} holds {found.dtype}, which cannot be read as "
        f"{dtype}. Map another column."
    )


def _parsed_dates(text: pl.Series) -> pl.Series:
    iso = text.str.strip_chars().str.replace("T", " ", literal=True).str.strip_suffix("Z")
    for form in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        found = iso.str.to_datetime(form, strict=False, time_unit="us")
        if found.null_count() < len(found):
            return _epoch(found)
    return pl.repeat(None, len(text), dtype=pl.Float64, eager=True)


def _epoch(times: pl.Series) -> pl.Series:
    return times.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64) / 1e6
