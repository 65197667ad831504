"""Features of users or items, from their file to the numbering of the interactions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from automl_rec.data import cells
from automl_rec.data.cells import Cells
from automl_rec.data.columns import find_id
from automl_rec.data.interactions import Vocabulary, encode
from automl_rec.data.request import FeatureFile, FeatureKind
from automl_rec.data.table import ROW, Table, open_table
from automl_rec.errors import DataError
from automl_rec.plugin.catalog import Feature


@dataclass(frozen=True, slots=True)
class NamedFeature:
    """A feature with its name and its values' names, None for numbers."""

    name: str
    feature: Feature
    vocabulary: Vocabulary | None


def read_features(
    request: FeatureFile, role: str, vocabulary: Vocabulary
) -> tuple[list[NamedFeature], int]:
    """The features of ``vocabulary``'s users or items, and how many of these have no row.

    Raises:
        DataError: the file is malformed, a column is missing or one id has two different rows.
    """
    rows = read_feature_rows(request, role)
    aligned = pl.DataFrame({"id": vocabulary.values}).join(
        rows.with_columns(found=True), on="id", how="left", maintain_order="left"
    )
    features = [
        _feature(name, kind, aligned[f"feature {name}"]) for name, kind in request.columns.items()
    ]
    return features, aligned["found"].null_count()


def read_feature_rows(request: FeatureFile, role: str) -> pl.DataFrame:
    """One row an id: ``id``, and ``feature NAME`` for every column, read by its kind.

    Raises:
        DataError: the file is malformed, a column is missing or one id has two different rows.
    """
    table = open_table(request.path, request.format, None)
    identity = request.id or find_id(table.header, role, request.path)
    _check_columns(table, [identity, *request.columns])
    frame = table.read([identity, *request.columns])
    columns = {"id": cells.ids(Cells(frame[identity], frame[ROW], identity, request.path))}
    for name, kind in request.columns.items():
        column = Cells(frame[name], frame[ROW], name, request.path)
        columns[f"feature {name}"] = _READERS[kind](column, table)
    return _one_row_each(pl.DataFrame(columns), request.path)


def _check_columns(table: Table, columns: list[str]) -> None:
    for name in columns:
        if name not in table.header:
            raise DataError(
                f"{table.where}: there is no column {name!r}; the columns are "
                f"{', '.join(table.header)}. Correct the feature's name."
            )


def _one_row_each(rows: pl.DataFrame, where: str) -> pl.DataFrame:
    # Events with their item's features in each row are welcome, so equal rows are one.
    distinct = rows.unique(maintain_order=True)
    repeated = distinct["id"].is_duplicated()
    if repeated.any():
        raise DataError(
            f"{where}: id {distinct['id'].filter(repeated)[0]!r} has two rows that differ. "
            "Keep one row an id."
        )
    return distinct


def _category(column: Cells, table: Table) -> pl.Series:
    return cells.values(column)


def _number(column: Cells, table: Table) -> pl.Series:
    return cells.optional_numbers(column)


def _several(column: Cells, table: Table) -> pl.Series:
    return cells.several(column, _separator(table))


def _parts(column: Cells, table: Table) -> pl.Series:
    """What stands between the separators of each cell, null where it is empty."""
    parts = cells.values(column).str.split(_separator(table))
    return parts.list.eval(pl.element().str.strip_chars())


def _separator(table: Table) -> str:
    return " " if table.format == "inter" else "|"


def _vector(column: Cells, table: Table) -> pl.Series:
    if column.values.dtype.is_nested():
        return cells.vectors(column, column.values)
    parts = _parts(column, table)
    if table.format == "inter":  # several blanks are one separator
        parts = parts.list.filter(pl.element() != "")
    return cells.vectors(column, parts)


_READERS: dict[FeatureKind, Callable[[Cells, Table], pl.Series]] = {
    "categorical": _category,
    "multi": _several,
    "numeric": _number,
    "vector": _vector,
}


def _feature(name: str, kind: FeatureKind, values: pl.Series) -> NamedFeature:
    if kind == "numeric":
        numbers = values.fill_null(float("nan")).cast(pl.Float32).to_numpy()
        return NamedFeature(name, Feature(kind, numbers), None)
    if kind == "categorical":
        codes, vocabulary = encode(values)
        return NamedFeature(name, Feature(kind, codes, len(vocabulary)), vocabulary)
    if kind == "vector":
        vectors = _filled(values)
        return NamedFeature(name, Feature(kind, vectors, vectors.shape[1]), None)
    lengths = values.list.len().fill_null(0).to_numpy()
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    codes, vocabulary = encode(values.filter(values.list.len() > 0).explode())
    return NamedFeature(name, Feature(kind, codes, len(vocabulary), indptr), vocabulary)


def _filled(values: pl.Series) -> npt.NDArray[np.float32]:
    """(N, W) vectors, zeros where unknown."""
    assert isinstance(values.dtype, pl.Array)
    filled = np.zeros((len(values), *values.dtype.shape), np.float32)
    known = values.is_not_null()
    filled[known.to_numpy()] = values.filter(known).to_numpy()
    return filled
