"""Every format gives the same interactions; ids, times and order are as in the file."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.data import ColumnNames, DataRequest
from automl_rec.data.interactions import Interactions, encode
from automl_rec.data.reader import read_interactions

FRAME = pl.DataFrame(
    {
        "userId": ["b", "a", "b", "a", "c"],
        "movieId": [10, 9, 9, 100, 9],
        "rating": [1.0, 2.5, 3.0, 4.0, 5.0],
        "timestamp": [30, 20, 10, 20, 5],
    }
)


def rows_of(events: Interactions) -> list[tuple[Any, ...]]:
    """(user id, item id, time, label) rows, in order."""
    users, items = events.users.values.to_list(), events.items.values.to_list()
    times = [None] * len(events) if events.time is None else events.time.tolist()
    labels = [None] * len(events) if events.label is None else events.label.tolist()
    return [
        (users[u], items[i], t, label)
        for u, i, t, label in zip(events.user, events.item, times, labels, strict=True)
    ]


EXPECTED = [
    ("a", "9", 20.0, 2.5),
    ("a", "100", 20.0, 4.0),
    ("b", "9", 10.0, 3.0),
    ("b", "10", 30.0, 1.0),
    ("c", "9", 5.0, 5.0),
]


def write(path: Path, frame: pl.DataFrame) -> None:
    separator = "\t" if path.name.split(".")[1] in {"tsv", "inter"} else ","
    if path.suffix == ".parquet":
        frame.write_parquet(path)
        return
    content = frame.write_csv(separator=separator).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    "name", ["e.csv", "e.tsv", "e.csv.gz", "e.tsv.gz", "e.parquet", "e.inter", "e.inter.gz"]
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    frame = FRAME
    if "inter" in name:
        types = ["userId:token", "movieId:token", "rating:float", "timestamp:float"]
        frame = FRAME.rename(dict(zip(FRAME.columns, types, strict=True)))
    write(tmp_path / name, frame)
    assert rows_of(read_interactions(DataRequest(path=str(tmp_path / name)))) == EXPECTED


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_byte_order_mark_blank_lines_and_blanks_do_not_matter(
    tmp_path: Path, end: str, mark: str
) -> None:
    lines = ["user, item ,time", " a ,x, 2", "", "a,y,1", '"b, c",x,0', "", ""]
    (tmp_path / "e.csv").write_bytes((mark + end.join(lines)).encode())
    events = read_interactions(DataRequest(path=str(tmp_path / "e.csv")))
    assert rows_of(events) == [
        ("a", "y", 1.0, None),
        ("a", "x", 2.0, None),
        ("b, c", "x", 0.0, None),
    ]


def test_other_separator_is_taken_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "e.csv", FRAME)
    text = (tmp_path / "e.csv").read_text().replace(",", ";")
    (tmp_path / "e.csv").write_text(text)
    request = DataRequest(path=str(tmp_path / "e.csv"), separator=";")
    assert rows_of(read_interactions(request)) == EXPECTED


def test_lists_keep_the_order_of_the_line_and_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_text("7 30 4\t5 \n\n12 4\n9\n7 1\n")
    events = read_interactions(DataRequest(path=str(tmp_path / "e.txt"), format="lists"))
    assert rows_of(events) == [("7", item, None, None) for item in ("30", "4", "5", "1")] + [
        ("12", "4", None, None)
    ]
    assert events.ordered


def test_mapped_columns_win_over_usual_names(tmp_path: Path) -> None:
    frame = FRAME.with_columns(pl.col("userId").alias("who"), userId=pl.lit("zero"))
    write(tmp_path / "e.csv", frame)
    columns = ColumnNames(user="who")
    request = DataRequest(path=str(tmp_path / "e.csv"), columns=columns)
    assert rows_of(read_interactions(request)) == EXPECTED


@pytest.mark.parametrize(
    "cells",
    [
        ["2024-05-31 18:30:00", "2024-05-31 18:30:01.5"],
        ["2024-05-31T18:30:00Z", "2024-05-31T18:30:01.5Z"],
        ["1717180200", "1717180201.5"],
    ],
)
def test_dates_are_seconds_since_1970(tmp_path: Path, cells: list[str]) -> None:
    frame = pl.DataFrame({"user": ["a", "a"], "item": [1, 2], "time": cells})
    frame.write_csv(tmp_path / "e.csv")
    events = read_interactions(DataRequest(path=str(tmp_path / "e.csv")))
    assert events.time is not None
    assert events.time.tolist() == [1717180200.0, 1717180201.5]


def test_parquet_dates_and_whole_floats_are_understood(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"user": [1.0, 2.0], "item": ["x", "y"], "time": ["1970-01-02", "1970-01-01"]}
    ).with_columns(pl.col("time").str.to_date())
    frame.write_parquet(tmp_path / "e.parquet")
    events = read_interactions(DataRequest(path=str(tmp_path / "e.parquet")))
    assert rows_of(events) == [("1", "x", 86400.0, None), ("2", "y", 0.0, None)]


def test_given_files_share_one_numbering(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,item\n1,10\n2,9\n")
    (tmp_path / "test.csv").write_text("user,item\n2,7\n3,10\n")
    request = DataRequest(train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"))
    events = read_interactions(request)
    assert events.part is not None
    parts = [(*row[:2], part) for row, part in zip(rows_of(events), events.part, strict=True)]
    assert parts == [("1", "10", 0), ("2", "9", 0), ("2", "7", 2), ("3", "10", 2)]
    assert events.items.values.to_list() == ["7", "9", "10"]


def test_equal_times_keep_the_order_of_the_file_in_large_files_too(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [(int(u), n, int(t)) for n, (u, t) in enumerate(generator.integers(0, 9, (50_000, 2)))]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    frame.write_parquet(tmp_path / "e.parquet")
    events = read_interactions(DataRequest(path=str(tmp_path / "e.parquet")))
    # items are numbered by their row here
    assert events.item.tolist() == [n for _, n, _ in sorted(rows, key=lambda r: (r[0], r[2]))]


@given(texts=st.lists(st.one_of(st.integers(-50, 50).map(str), st.just("007")), min_size=1))
def test_integer_ids_are_numbered_by_value(texts: list[str]) -> None:
    codes, vocabulary = encode(pl.Series(texts, dtype=pl.String))
    assert vocabulary.values.to_list() == sorted(set(texts), key=lambda t: (int(t), t))
    assert [vocabulary.values[int(c)] for c in codes] == texts


@pytest.mark.slow
@given(texts=st.lists(st.one_of(st.none(), st.text(min_size=1))))
def test_other_ids_are_numbered_by_text_and_null_is_minus_one(texts: list[str | None]) -> None:
    series = pl.Series([*texts, "x"], dtype=pl.String)
    codes, vocabulary = encode(series)
    known = sorted({t for t in [*texts, "x"] if t is not None}, key=lambda t: t.encode())
    assert vocabulary.values.to_list() == known
    assert codes.tolist() == [-1 if t is None else known.index(t) for t in [*texts, "x"]]
