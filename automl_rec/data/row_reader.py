"""Files of labelled rows -> the cells of their fields."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from automl_rec.data import cells
from automl_rec.data.cells import Cells
from automl_rec.data.columns import find_row_columns
from automl_rec.data.features import read_feature_rows
from automl_rec.data.reader import check_range, event_files
from automl_rec.data.request import DataRequest, FeatureFile, FeatureKind, FieldKind
from automl_rec.data.row_encoding import Lookup, Source
from automl_rec.data.table import ROW, Table, existing, format_of, open_table
from automl_rec.errors import DataError

_TRUTH = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}


@dataclass(frozen=True, slots=True)
class RawRows:
    """Rows as their files hold them, in the files' order.

    Attributes:
        frame: R rows: ``label`` (1 or 0); ``user``, ``item`` (text) and ``time`` (seconds) where
            they are known and needed; ``field NAME`` as the field's `Source.read` gives it.
        sources: of the fields.
        lookups: name of a field of a file of features -> where its cells were looked up.
        part: (R,) int8 parts of given files, or None.
    """

    frame: pl.DataFrame
    sources: tuple[Source, ...]
    lookups: Mapping[str, Lookup]
    part: npt.NDArray[np.int8] | None

    def __len__(self) -> int:
        return self.frame.height

    def cells(self, source: Source) -> pl.Series:
        """(R,) of one field."""
        return self.frame[f"field {source.name}"]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns of all files are read, after the first one's header."""

    roles: Mapping[str, str]
    sources: tuple[Source, ...]
    where: str

    @classmethod
    def of(cls, table: Table, request: DataRequest, where: str) -> "_Layout":
        roles = find_row_columns(table.header, request.columns, where, timed=_timed(request))
        sources = tuple(_own_sources(table, request, roles, where))
        _check_names([source.name for source in sources])
        return cls(roles, sources, where)

    @property
    def columns(self) -> list[str]:
        """Every column that is read."""
        return [*self.roles.values(), *(source.column for source in self.sources)]


def read_rows(request: DataRequest) -> RawRows:
    """All rows of the files.

    Raises:
        DataError: a file, row or column is not what the request says.
    """
    files = event_files(request)
    first = files[0][1]
    layout = _Layout.of(_open(first, request), request, first)
    frames = [_read(path, layout, request) for _, path in files]
    part = np.repeat([part for part, _ in files], [f.height for f in frames]).astype(np.int8)
    frame = pl.concat(frames)
    sources, lookups = list(layout.sources), {}
    for source, lookup, role in _looked_up(request, layout):
        sources.append(source)
        lookups[source.name] = lookup
        frame = frame.with_columns(lookup.of(frame[role]).alias(f"field {source.name}"))
    if not sources:
        raise DataError(
            f"{first}: nothing describes the rows: no column holds users or items, and data.fields "
            "names none. Name them with data: {fields: {NAME: categorical}}."
        )
    _check_names([source.name for source in sources])
    return RawRows(frame, tuple(sources), lookups, part if len(files) > 1 else None)


def _timed(request: DataRequest) -> bool:
    """Whether the split reads times."""
    return request.split.kind == "temporal" or (
        request.train is not None and request.validation is None
    )


def _open(path: str, request: DataRequest) -> Table:
    if format_of(existing(path), request.format) == "lists":
        raise DataError(f"{path}: lists of items have no labels to rank by. Give a CSV file.")
    return open_table(path, request.format, request.separator, headed=request.header)


def _own_sources(
    table: Table, request: DataRequest, roles: Mapping[str, str], where: str
) -> Iterator[Source]:
    """The fields that the rows themselves hold: user, item, then those named."""
    separator = " " if table.format == "inter" else "|"
    named: dict[str, FieldKind] = dict(request.fields)
    for role in ("user", "item"):
        if role in roles:
            kind = named.pop(roles[role], "categorical")
            yield Source(role, roles[role], kind, separator)
    for column, kind in named.items():
        if column not in table.header:
            raise DataError(
                f"{where}: there is no column {column!r} for data.fields; the columns are "
                f"{', '.join(table.header)}. Correct data.fields."
            )
        if column == roles["label"]:
            raise DataError(
                f"{where}: column {column!r} is the label, and data.fields names it as well: a "
                "label cannot tell itself. Remove it, or map another with data.columns.label."
            )
        yield Source(column, column, kind, separator)


def _check_names(names: list[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(
            f"data: two fields are named {twice[0]!r}: a column and a role, or a feature of users "
            "and one of items. Rename the column."
        )


def _read(path: str, layout: _Layout, request: DataRequest) -> pl.DataFrame:
    table = _open(path, request)
    lacking = [name for name in layout.columns if name not in table.header]
    if lacking:
        raise DataError(
            f"{path}: there is no column {lacking[0]!r}, but {layout.where} has one. Give all "
            "files the same columns."
        )
    raw = table.read(layout.columns)

    def column(name: str) -> Cells:
        return Cells(raw[name], raw[ROW], name, path)

    found = {f"field {s.name}": s.read(column(s.column)) for s in layout.sources}
    found["label"] = _labels(column(layout.roles["label"]), request)
    if "time" in layout.roles:
        found["time"] = cells.seconds(column(layout.roles["time"]))
    for source in layout.sources:
        if source.name in layout.roles:
            is_text = source.kind == "categorical"
            text = None if is_text else cells.categories(column(source.column))
            found[source.name] = found[f"field {source.name}"] if text is None else text
    return pl.DataFrame(found)


def _labels(column: Cells, request: DataRequest) -> pl.Series:
    """1 and 0 as Float32."""
    labels = cells.numbers(_spelt_out(column))
    check_range(column, labels, request.label_range)
    if request.threshold is not None:
        return (labels >= request.threshold).cast(pl.Float32)
    remedy = "Set data.threshold: labels of at least it become 1, others 0."
    column.refuse(~labels.is_in([0.0, 1.0]), "0 or 1", remedy)
    return labels.cast(pl.Float32)


def _spelt_out(column: Cells) -> Cells:
    """Truth values written as text, as 1 and 0."""
    if column.values.dtype != pl.String:
        return column
    return replace(column, values=column.values.replace(_TRUTH))


def _looked_up(request: DataRequest, layout: _Layout) -> Iterator[tuple[Source, Lookup, str]]:
    """The fields of the files of features, with the role they belong to.

    A column of data.fields of the same name goes before.

    Raises:
        DataError: nothing says which user or item a row is about, or the file does not do.
    """
    own = {source.name for source in layout.sources}
    files = {"user": request.user_features, "item": request.item_features}
    for role, file in files.items():
        if file is None:
            continue
        if role not in layout.roles:
            raise DataError(
                f"{layout.where}: no column holds the {role}s, which data.{role}_features "
                f"describes. Map it with data.columns.{role}, or remove the features."
            )
        wanted = {name: kind for name, kind in file.columns.items() if name not in own}
        yield from _of_file(file, wanted, role, layout.roles[role])


def _of_file(
    file: FeatureFile, wanted: Mapping[str, FeatureKind], role: str, key: str
) -> Iterator[tuple[Source, Lookup, str]]:
    separator = " " if format_of(existing(file.path), file.format) == "inter" else "|"
    rows = read_feature_rows(file, role)
    rows = rows.with_columns(cells.whole_as_such(rows["id"])).unique("id", maintain_order=True)
    for name, kind in wanted.items():
        if kind == "vector":
            raise DataError(
                f"{file.path}: feature {name!r} is a vector, and the fields of rows are "
                "categorical, multi or numeric. Remove it from the columns."
            )
        found = _as_read(rows[f"feature {name}"], kind)
        yield Source(name, name, kind, separator), Lookup(key, rows["id"], found), role


def _as_read(values: pl.Series, kind: FieldKind) -> pl.Series:
    """A feature's cells as `Source.read` would give them."""
    match kind:
        case "categorical":
            return cells.whole_as_such(values)
        case "numeric":
            return values.fill_nan(None)
        case _:
            return values
