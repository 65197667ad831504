"""Damaged Parquet files are refused with a reason."""

import io
from pathlib import Path

import polars as pl
import pytest

from automl_rec.data.parquet import parquet_columns, read_parquet


@pytest.fixture
def content() -> bytes:
    target = io.BytesIO()
    frame = pl.DataFrame({"user": ["a", "b"] * 3, "item": [1, 2, 3] * 2})
    frame.write_parquet(target, compression="uncompressed")
    return target.getvalue()


def test_columns_come_as_asked_for(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    assert parquet_columns(tmp_path / "x") == ("user", "item")
    assert read_parquet(tmp_path / "x", ["item"]).to_dict(as_series=False) == {
        "item": [1, 2, 3, 1, 2, 3]
    }
    with pytest.raises(OSError, match='unable to find column "time"'):
        read_parquet(tmp_path / "x", ["time"])


def test_whatever_byte_is_damaged_the_file_is_read_or_refused(
    content: bytes, tmp_path: Path
) -> None:
    path, reasons = tmp_path / "x", set()
    for place in range(len(content)):
        path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        try:
            parquet_columns(path)
            read_parquet(path)
        except OSError as error:
            reasons.add(str(error))
    assert all(reason and "\n" not in reason for reason in reasons)
    assert "its pages contradict each other" in reasons  # where polars panics
