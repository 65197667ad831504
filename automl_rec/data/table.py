"""One file of columns: text or Parquet, checked before it is trusted."""

import csv
import gzip
import mmap
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import psutil

from automl_rec.data.parquet import parquet_columns, read_parquet
from automl_rec.data.request import Format
from automl_rec.data.text_check import check_fields, check_utf8
from automl_rec.errors import DataError

_EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".inter": "inter",
    ".item": "inter",
    ".user": "inter",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_SEPARATORS = {"csv": ",", "tsv": "\t", "inter": "\t"}
_PIECE_BYTES = 1 << 24
ROW = " row "
"""The column of the rows' numbers; names in a text header are stripped, so none is this one."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file whose header is known and whose cells are not read yet.

    Attributes:
        path: the file.
        format: any but ``lists``.
        header: names of the columns.
        separator: of text, else None.
        content: the text, decompressed.
        headed: whether the first line of the text is the header.
    """

    path: Path
    format: Format
    header: tuple[str, ...]
    separator: str | None = None
    content: bytes | mmap.mmap | None = None
    headed: bool = True

    @property
    def where(self) -> str:
        """The file's name as messages give it."""
        return str(self.path)

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """The columns asked for and `ROW`, each row's number in the file.

        Text cells come as strings, empty ones as null; Parquet keeps its types.

        Raises:
            DataError: the file is malformed.
        """
        return self._read_parquet(columns) if self.content is None else self._read_text(columns)

    def _read_parquet(self, columns: Sequence[str]) -> pl.DataFrame:
        try:
            frame = read_parquet(self.path, list(dict.fromkeys(columns)))
        except OSError as error:
            raise _broken_parquet(self.path, error) from error
        if not frame.height:
            raise _no_rows(self.where)
        return frame.with_row_index(ROW, offset=1)

    def _read_text(self, columns: Sequence[str]) -> pl.DataFrame:
        assert self.separator is not None
        assert self.content is not None
        with memoryview(self.content) as view:
            records = check_fields(view, self.separator, self.where, quoted=self._quoted)
        above = int(self.headed)
        if records.number - len(records.blank) <= above:
            raise _no_rows(self.where)
        frame = self._parse(columns)
        expected = records.number - above
        if frame.height != expected:
            raise DataError(
                f"{self.where}: {expected} rows were counted and {frame.height} parsed, so its "
                "quotes are not balanced. Quote whole fields, and double a quote inside one."
            )
        kept = np.ones(frame.height, bool)
        kept[records.blank - above] = False
        return frame.with_row_index(ROW, offset=1 + above).filter(kept)

    @property
    def _quoted(self) -> bool:
        return self.format != "inter"

    def _parse(self, columns: Sequence[str]) -> pl.DataFrame:
        assert self.content is not None
        scan = pl.scan_csv(
            self.path if isinstance(self.content, mmap.mmap) else self.content,
            separator=self.separator or ",",
            quote_char='"' if self._quoted else None,
            has_header=False,
            skip_lines=int(self.headed),
            schema=dict.fromkeys(self.header, pl.String),
            glob=False,
        )
        try:
            return scan.select(list(dict.fromkeys(columns))).collect()
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"{self.where}: cannot be parsed ({str(error).splitlines()[0]}). "
                f"Check that it is {self.format}."
            ) from error


def open_table(
    path: str,
    format: Format | None,
    separator: str | None,
    *,
    headed: bool = True,
    least: int = 2,
    section: str = "data.",
) -> Table:
    """The file's format, header and content, nothing parsed.

    Args:
        path: the file.
        format: None goes by the extension.
        separator: of text; None is the format's.
        headed: whether the first line of text names the columns; else they are c0, c1 and so on.
        least: columns that text must have.
        section: what stands before the names of settings in messages.

    Raises:
        DataError: the file is missing, empty, truncated, of an unknown format, or its header is
            not divided by the separator.
    """
    file = existing(path)
    format = format_of(file, format, section)
    if format == "parquet":
        return Table(file, format, _parquet_header(file))
    content = read_content(file)
    with memoryview(content) as view:
        check_utf8(view, path)
    separator = separator or _SEPARATORS[format]
    header = _text_header(content, format, separator, path, least, section)
    if headed:
        _check_distinct(header, path)
    else:
        header = tuple(f"c{place}" for place in range(len(header)))
    return Table(file, format, header, separator, content, headed)


def existing(path: str) -> Path:
    """The path, which is a file.

    Raises:
        DataError: it is not.
    """
    try:
        file = Path(path).expanduser()
        is_file, is_folder = file.is_file(), file.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, or ~ with no user
        raise DataError(
            f"{path}: this is no path of a file ({error}). Correct the path."
        ) from error
    if not is_file:
        kind = "is a folder, not a file" if is_folder else "does not exist"
        raise DataError(
            f"{path}: this file {kind} (looked for from {Path.cwd()}). Correct the path."
        )
    return file


def format_of(path: Path, given: Format | None, section: str = "data.") -> Format:
    """The format asked for, or that of the extension, ``.gz`` aside.

    Raises:
        DataError: neither is known.
    """
    if given is not None:
        return given
    suffix = (path.with_suffix("") if is_compressed(path) else path).suffix.lower()
    if suffix not in _EXTENSIONS:
        raise DataError(
            f"{path}: the extension {suffix!r} does not tell the format. "
            f"Give {section}format: csv, tsv, parquet, inter, or lists (lines of user item item "
            "...)."
        )
    return _EXTENSIONS[suffix]


def is_compressed(path: Path) -> bool:
    """Whether a text file is to be decompressed, by its name."""
    return path.suffix == ".gz"


def read_content(path: Path) -> bytes | mmap.mmap:
    """The bytes of a text file: mapped, or decompressed in memory if it ends in ``.gz``.

    Raises:
        DataError: the file is empty, unreadable or truncated.
    """
    try:
        content = _decompressed(path) if is_compressed(path) else _mapped(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: the gzip file is damaged or cut short ({error}). Copy or download it again."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}). Check its permissions.") from error
    if not content:
        raise DataError(f"{path}: the file is empty. Give a file with a header line and events.")
    return content


def _decompressed(path: Path) -> bytes:
    """All of it, or an error before it fills the memory: a few kilobytes may hold gigabytes."""
    free = _free_bytes()
    pieces: list[bytes] = []
    with gzip.open(path) as stream:
        while piece := stream.read(_PIECE_BYTES):
            pieces.append(piece)
            if sum(map(len, pieces)) > free / 2:
                raise DataError(
                    f"{path}: decompressed it takes more than half of the free memory, which is "
                    f"{free / 1e9:.1f} GB. Decompress the file, then it is read without a copy."
                )
    return b"".join(pieces)


def _free_bytes() -> int:
    free: int = psutil.virtual_memory().available
    return free


def _mapped(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as stream:
        if not path.stat().st_size:
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _parquet_header(path: Path) -> tuple[str, ...]:
    try:
        return parquet_columns(path)
    except OSError as error:
        raise _broken_parquet(path, error) from error


def _text_header(
    content: bytes | mmap.mmap,
    format: Format,
    separator: str,
    where: str,
    least: int,
    section: str,
) -> tuple[str, ...]:
    end = content.find(b"\n")
    line = content[: end if end >= 0 else len(content)].decode("utf-8-sig").strip("\r")
    try:
        row = next(csv.reader([line], delimiter=separator, quoting=_quoting(format)), [])
    except csv.Error as error:
        raise DataError(
            f"{where}: the first line is no header ({error}). Check that the file is {format}."
        ) from error
    header = tuple(name.strip() for name in row)
    if format == "inter":
        header = tuple(name.split(":")[0] for name in header)
    likely = next((other for other in ",\t;|" if other != separator and other in line), None)
    if len(header) < 2 and (len(header) < least or likely is not None):
        raise _wrong_separator(line, separator, likely, where, section)
    return header


def _check_distinct(header: Sequence[str], where: str) -> None:
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise DataError(f"{where}: the header names {repeated[0]!r} twice. Rename one of them.")


def _quoting(format: Format) -> Literal[0, 3]:
    return csv.QUOTE_NONE if format == "inter" else csv.QUOTE_MINIMAL


def _wrong_separator(
    line: str, separator: str, likely: str | None, where: str, section: str
) -> DataError:
    fact = f"{where}: the header {line[:80]!r} is one column when divided at {separator!r}."
    if likely is None:
        return DataError(f"{fact} Give a file with at least two columns.")
    remedy = "format: tsv" if likely == "\t" else f'separator: "{likely}"'
    return DataError(f"{fact} It seems to use {likely!r}: set {section}{remedy}.")


def _no_rows(where: str) -> DataError:
    return DataError(f"{where}: there is a header and no row below it. Give a file with events.")


def _broken_parquet(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read as Parquet ({error}). Write it again or set format.")
