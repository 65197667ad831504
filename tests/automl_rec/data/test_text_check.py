"""The check of raw text against Python's own csv module and hand-worked cases."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.data import text_check
from automl_rec.data.text_check import check_fields, check_utf8
from automl_rec.errors import DataError

CELLS = st.text(st.sampled_from('a1é ,;\n"'), max_size=5)
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=12)


def as_text(rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


@pytest.mark.slow
@given(rows=ROWS, chunk=st.integers(1, 40))
def test_verdict_equals_that_of_the_csv_module(rows: list[list[str]], chunk: int) -> None:
    text = as_text(rows)
    assert list(csv.reader(io.StringIO(text))) == rows
    odd = [n for n, row in enumerate(rows, 1) if len(row) != len(rows[0])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_check, "_CHUNK_BYTES", chunk)
        view = memoryview(text.encode())
        if not odd:
            assert check_fields(view, ",", "f", quoted=True).number == len(rows)
            return
        with pytest.raises(DataError) as caught:
            check_fields(view, ",", "f", quoted=True)
    received = len(rows[odd[0] - 1])
    assert str(caught.value).startswith(f"f: row {odd[0]} has {received} fields where ")


@given(
    lines=st.lists(st.sampled_from(["", "a,b", "é,c"]), min_size=1, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    closed=st.booleans(),
    # Two bytes, so that a blank line with both its end marks fits, as it always does.
    chunk=st.integers(2, 20),
)
def test_blank_records_are_found_wherever_chunks_end(
    lines: list[str], end: str, *, closed: bool, chunk: int
) -> None:
    text = end.join(["x,y", *lines]) + (end if closed else "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_check, "_CHUNK_BYTES", chunk)
        records = check_fields(memoryview(text.encode()), ",", "f", quoted=True)
    # Without a last line end, a last blank line is no line.
    expected = lines if closed or lines[-1] else lines[:-1]
    assert records.number == 1 + len(expected)
    assert records.blank.tolist() == [n for n, line in enumerate(expected, 1) if not line]


def test_quotes_mean_nothing_where_the_format_has_none() -> None:
    content = memoryview(b'u\ti\n1\t"a\n2\tb\n')
    assert check_fields(content, "\t", "f", quoted=False).number == 3
    with pytest.raises(DataError, match="opened and never closed"):
        check_fields(content, "\t", "f", quoted=True)


@given(content=st.binary(max_size=60), chunk=st.integers(1, 20))
def test_utf8_verdict_equals_that_of_decode(content: bytes, chunk: int) -> None:
    try:
        content.decode("utf-8")
        offset = None
    except UnicodeDecodeError as error:
        offset = error.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_check, "_CHUNK_BYTES", chunk)
        if offset is None:
            check_utf8(memoryview(content), "f")
            return
        with pytest.raises(DataError) as caught:
            check_utf8(memoryview(content), "f")
    line = content[:offset].count(b"\n") + 1
    assert str(caught.value).startswith(
        f"f: line {line} is not UTF-8: byte 0x{content[offset]:02x} at offset {offset}."
    )
