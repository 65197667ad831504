"""Looks over the bytes of a delimited text file before anything is parsed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automl_rec.errors import DataError

# Several megabytes amortise numpy's overhead; more would only cost memory.
_CHUNK_BYTES = 1 << 22

_Mask = npt.NDArray[np.bool_]
_Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Records:
    """How a file divides into records, its header included.

    Attributes:
        number: of records, blank ones included.
        blank: positions of the blank ones.
    """

    number: int
    blank: _Indices


def check_utf8(content: memoryview, where: str) -> None:
    """Refuse bytes that are not UTF-8.

    Raises:
        DataError: naming line and offset of the first such byte.
    """
    line = 1
    for start, chunk in _whole_lines(content):
        if not chunk.isascii():
            _decode(chunk, start, line, where)
        line += chunk.count(b"\n")


def _decode(chunk: bytes, start: int, line: int, where: str) -> None:
    try:
        chunk.decode("utf-8")
    except UnicodeDecodeError as error:
        line += chunk.count(b"\n", 0, error.start)
        raise DataError(
            f"{where}: line {line} is not UTF-8: byte 0x{chunk[error.start]:02x} at offset "
            f"{start + error.start}. Save the file as UTF-8."
        ) from error


def check_fields(content: memoryview, separator: str, where: str, *, quoted: bool) -> Records:
    """Refuse a record whose number of fields differs from the header's.

    Args:
        content: the whole file.
        separator: one ASCII character.
        where: the file, for messages.
        quoted: whether double quotes may enclose separators and line ends.

    Raises:
        DataError: naming the record and both numbers, or an unclosed quote.
    """
    counter = _FieldCounter(ord(separator), where, quoted=quoted)
    for _, chunk in _whole_lines(content):
        counter.add(chunk)
    counter.close()
    blank = np.concatenate(counter.blank) if counter.blank else np.empty(0, np.int64)
    return Records(counter.records, blank)


class _FieldCounter:
    """Counts the separators of every record, chunk by chunk."""

    def __init__(self, separator: int, where: str, *, quoted: bool) -> None:
        self._separator = separator
        self._quoted = quoted
        self._where = where
        self._expected: int | None = None
        self._open_quote = False
        self._pending_separators = 0
        self._pending_bytes = 0
        self.records = 0
        self.blank: list[_Indices] = []

    def add(self, chunk: bytes) -> None:
        """Count the records that end in ``chunk``."""
        values = np.frombuffer(chunk, np.uint8)
        newline, separator = values == 10, values == self._separator
        if self._quoted and b'"' in chunk:
            self._mask_quoted(values, newline, separator)
        elif self._open_quote:
            newline[:] = False
            separator[:] = False
        ends, separators = np.flatnonzero(newline), np.flatnonzero(separator)
        before = np.searchsorted(separators, ends)
        if len(ends):
            self._check(values, ends, np.diff(before, prepend=0))
            self._pending_separators = len(separators) - int(before[-1])
            self._pending_bytes = len(values) - int(ends[-1]) - 1
        else:
            self._pending_separators += len(separators)
            self._pending_bytes += len(values)

    def close(self) -> None:
        """Count a last record without a line end."""
        if self._open_quote:
            raise DataError(
                f"{self._where}: a double quote is opened and never closed. Close it, or save the "
                "file as TSV with format: inter, which has no quotes."
            )
        if self._pending_bytes:
            self.add(b"\n")

    def _mask_quoted(self, values: npt.NDArray[np.uint8], newline: _Mask, separator: _Mask) -> None:
        quotes = values == ord('"')
        # Only the parity matters, so wrapping at 256 does no harm.
        inside = ((np.cumsum(quotes, dtype=np.uint8) & 1) ^ self._open_quote).astype(bool)
        self._open_quote = bool(inside[-1])
        newline &= ~inside
        separator &= ~inside

    def _check(self, values: npt.NDArray[np.uint8], ends: _Indices, counts: _Indices) -> None:
        counts[0] += self._pending_separators
        lengths = np.diff(ends, prepend=-1) - 1
        lengths[0] += self._pending_bytes
        lengths -= (lengths > 0) & (values[ends - 1] == 13)
        if self._expected is None:
            self._expected = int(counts[0])
        odd = np.flatnonzero((counts != self._expected) & (lengths > 0))
        if len(odd):
            self._refuse(self.records + int(odd[0]) + 1, int(counts[odd[0]]) + 1)
        blank = np.flatnonzero(lengths == 0)
        if len(blank):
            self.blank.append(self.records + blank)
        self.records += len(ends)

    def _refuse(self, row: int, received: int) -> None:
        required = (self._expected or 0) + 1
        raise DataError(
            f"{self._where}: row {row} has {received} fields where the header has {required}. "
            "Correct the row, or quote fields that contain the separator."
        )


def _whole_lines(content: memoryview) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) pieces that end at a line end, the last perhaps without one."""
    start = 0
    while start < len(content):
        chunk = bytes(content[start : start + _CHUNK_BYTES])
        cut = chunk.rfind(b"\n") + 1
        if cut and start + len(chunk) < len(content):
            chunk = chunk[:cut]
        yield start, chunk
        start += len(chunk)
