"""Parquet files of any origin: read whole, or refused with a reason that a message can give."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

_BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What damage may raise; where polars is taken by surprise it panics, which is no `Exception`."""


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The columns asked for, or all.

    Raises:
        OSError: the file is missing, damaged, or without one of the columns; the reason is one
            line.
    """
    chosen = None if columns is None else list(columns)
    try:
        return pl.read_parquet(path, columns=chosen, glob=False)
    except _BROKEN as error:
        raise OSError(_reason(error)) from error


def parquet_columns(path: Path) -> tuple[str, ...]:
    """The names of the columns.

    Raises:
        OSError: as `read_parquet`.
    """
    try:
        return tuple(pl.read_parquet_schema(path))
    except _BROKEN as error:
        raise OSError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, pl.exceptions.PanicException):
        return "its pages contradict each other"
    return str(error).splitlines()[0] if str(error) else "no reason is given"
