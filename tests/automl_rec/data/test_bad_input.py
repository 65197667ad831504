"""Each kind of bad input is refused with file, row or column and a remedy; nothing is written."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from automl_rec.data import ColumnNames, DataRequest, SplitRequest, prepare, table
from automl_rec.errors import DataError

HEADER = "user,item,rating,time\n"
GOOD = HEADER + "".join(f"{u},{i},{1 + i % 5},{10 * i}\n" for u in "abc" for i in range(5))

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Prepare a file of this content and give the message it is refused with."""

    def run(content: str | bytes, name: str = "events.csv", **fields: Any) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        cache = tmp_path / "cache"
        with pytest.raises(DataError) as caught:
            prepare(DataRequest(path=str(path), **fields), cache)
        assert not cache.exists() or not list(cache.iterdir())
        return str(caught.value).replace(str(tmp_path) + "/", "")

    return run


def test_good_file_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(GOOD)
    prepared = prepare(DataRequest(path=str(tmp_path / "events.csv")), tmp_path / "cache")
    assert prepared.description["events"] == 15


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"absent\.csv: this file does not exist .*Correct the path"
    ):
        prepare(DataRequest(path=str(tmp_path / "absent.csv")), tmp_path)


def test_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not a file"):
        prepare(DataRequest(path=str(tmp_path), format="csv"), tmp_path)


@pytest.mark.parametrize("name", ["n" * 300 + ".csv", "~nobody-here/events.csv", "a\0b.csv"])
def test_a_path_that_no_file_can_have_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"(is no path of a file|does not exist) .*Correct the path"
    ):
        prepare(DataRequest(path=name), tmp_path)


def test_missing_item_column_lists_the_columns_and_the_mapping(refused: Refused) -> None:
    message = refused("user,film,time\na,b,1\n")
    assert message.startswith(
        "events.csv: no column holds the item; the columns are user, film, time."
    )
    assert "data: {columns: {item: NAME}}" in message


def test_mapped_column_that_is_absent_is_named(refused: Refused) -> None:
    message = refused(GOOD, columns=ColumnNames(time="when"))
    assert "there is no column 'when' for data.columns.time" in message


def test_two_possible_user_columns_must_be_chosen_from(refused: Refused) -> None:
    message = refused("user,uid,item\na,b,c\n")
    assert "columns user, uid could each be the user. Choose one with data.columns.user." in message


def test_one_column_for_two_roles_is_refused(refused: Refused) -> None:
    message = refused(GOOD, columns=ColumnNames(user="item"))
    assert "column 'item' is mapped to two roles" in message


@pytest.mark.parametrize("name", ["events.csv", "events.tsv", "events.inter"])
def test_empty_file_is_refused(refused: Refused, name: str) -> None:
    assert refused("", name).startswith(f"{name}: the file is empty.")


def test_empty_list_file_is_refused(refused: Refused) -> None:
    assert "no line holds a user and an item" in refused("1\n2\n", "e.txt", format="lists")


@pytest.mark.parametrize("content", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_header_without_rows_is_refused(refused: Refused, content: str) -> None:
    assert refused(content) == (
        "events.csv: there is a header and no row below it. Give a file with events."
    )


def test_parquet_without_rows_is_refused(refused: Refused, tmp_path: Path) -> None:
    pl.DataFrame({"user": [], "item": []}).write_parquet(tmp_path / "made.parquet")
    message = refused((tmp_path / "made.parquet").read_bytes(), "events.parquet")
    assert "there is a header and no row" in message


@pytest.mark.parametrize(
    ("separator", "remedy"),
    [("\t", "set data.format: tsv"), (";", 'set data.separator: ";"'), ("|", 'separator: "|"')],
)
def test_wrong_separator_is_recognised(refused: Refused, separator: str, remedy: str) -> None:
    message = refused(GOOD.replace(",", separator))
    assert "is one column when divided at ','" in message
    assert remedy in message


def test_commas_in_lists_are_recognised(refused: Refused) -> None:
    assert "Choose data.format csv" in refused("1,2 3\n", "events.txt", format="lists")


@pytest.mark.parametrize(("row", "fields"), [("a,1", 2), ("a,1,2,3,4", 5)])
def test_ragged_row_is_named_with_both_numbers(refused: Refused, row: str, fields: int) -> None:
    message = refused(f"{GOOD}{row}\n{GOOD.removeprefix(HEADER)}")
    assert message.startswith(
        f"events.csv: row 17 has {fields} fields where the header has 4. Correct the row"
    )


def test_unclosed_quote_is_refused(refused: Refused) -> None:
    assert "a double quote is opened and never closed" in refused(GOOD + 'a,"9,1,1\n')


def test_bytes_that_are_not_utf8_are_located(refused: Refused) -> None:
    content = GOOD.encode() + "müller,9,1,1\n".encode("latin-1")
    assert refused(content) == (
        f"events.csv: line 17 is not UTF-8: byte 0xfc at offset {len(GOOD) + 1}. "
        "Save the file as UTF-8."
    )


def test_lists_that_are_not_utf8_are_located(refused: Refused) -> None:
    assert "line 2 is not UTF-8: byte 0xff" in refused(b"1 2\n\xff 3\n", "e.txt", format="lists")


def test_truncated_gzip_is_refused(refused: Refused) -> None:
    whole = gzip.compress(GOOD.encode())
    message = refused(whole[: len(whole) // 2], "events.csv.gz")
    assert message.startswith("events.csv.gz: the gzip file is damaged or cut short")
    assert message.endswith("Copy or download it again.")


def test_file_that_is_not_gzip_is_refused(refused: Refused) -> None:
    assert "the gzip file is damaged" in refused(GOOD, "events.csv.gz")


def test_a_gzip_file_that_would_fill_the_memory_is_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_free_bytes", lambda: 3_000_000)
    bomb = gzip.compress(HEADER.encode() + b"a,b,1,1\n" * 10**6)
    assert len(bomb) < 30_000
    assert refused(bomb, "events.csv.gz").startswith(
        "events.csv.gz: decompressed it takes more than half of the free memory, which is 0.0 GB."
    )


def test_a_header_that_is_none_is_refused(refused: Refused) -> None:
    message = refused("user,item," + "x" * 200_000 + "\na,b,c\n")
    assert message.startswith("events.csv: the first line is no header (field larger than")


@pytest.mark.parametrize(
    ("role", "column", "required"),
    [
        ("time", pl.Series([5, 6, 7], dtype=pl.Duration("ms")), "Duration(time_unit='ms'), which"),
        ("time", pl.Series([5, 6, 7], dtype=pl.Time), "Time, which cannot be read as Datetime"),
        ("time", pl.Series([5, 6, -(10**7)], dtype=pl.Date), "row 3, column 'time' must be a time"),
        ("rating", pl.Series([{"a": 1}] * 3), "Struct({'a': Int64}), which cannot be read as F"),
    ],
)
def test_a_type_that_cannot_be_read_as_its_role_is_named(
    refused: Refused, tmp_path: Path, role: str, column: pl.Series, required: str
) -> None:
    frame = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 3], role: column})
    frame.write_parquet(tmp_path / "made.parquet")
    assert required in refused((tmp_path / "made.parquet").read_bytes(), "events.parquet")


def test_damaged_parquet_is_refused(refused: Refused) -> None:
    assert "events.parquet: cannot be read as Parquet" in refused("PAR1 no", "events.parquet")


def test_truncated_parquet_is_refused(refused: Refused, tmp_path: Path) -> None:
    pl.read_csv(GOOD.encode()).write_parquet(tmp_path / "made.parquet")
    content = (tmp_path / "made.parquet").read_bytes()
    assert "cannot be read as Parquet" in refused(content[:-20], "events.parquet")


@pytest.mark.parametrize(("cell", "received"), [("", "nothing"), (" ", "' '"), ("NaN", "'NaN'")])
def test_empty_or_nan_id_is_named_by_row_and_column(
    refused: Refused, cell: str, received: str
) -> None:
    assert refused(f"{GOOD}a,{cell},1,1\n") == (
        f"events.csv: row 17, column 'item' must be an id, got {received}. "
        "Fill it in, or remove the row."
    )


def test_nan_id_in_parquet_is_named(refused: Refused, tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [1.0, float("nan"), 2.0], "item": [1, 2, 3]})
    frame.write_parquet(tmp_path / "made.parquet")
    message = refused((tmp_path / "made.parquet").read_bytes(), "events.parquet")
    assert "row 2, column 'user' must be an id" in message


def test_fractional_id_is_refused(refused: Refused, tmp_path: Path) -> None:
    pl.DataFrame({"user": [1.0, 1.5], "item": [1, 2]}).write_parquet(tmp_path / "made.parquet")
    message = refused((tmp_path / "made.parquet").read_bytes(), "events.parquet")
    assert "row 2, column 'user' must be a whole number or text, got 1.5" in message


@pytest.mark.parametrize("cell", ["yesterday", "-1", "nan", "inf", ""])
def test_bad_time_is_named_by_row_and_column(refused: Refused, cell: str) -> None:
    message = refused(f"{GOOD}a,9,1,{cell}\n")
    received = repr(cell) if cell else "nothing"
    assert message.startswith("events.csv: row 17, column 'time' must be a time: a number of at ")
    assert f"got {received}. Correct it, or remove the row." in message


def test_label_that_is_no_number_is_named(refused: Refused) -> None:
    message = refused(GOOD + "a,9,good,1\n")
    assert "row 17, column 'rating' must be a number, got 'good'" in message


def test_label_out_of_range_is_named(refused: Refused) -> None:
    message = refused(GOOD + "a,9,6,1\n", label_range=(1, 5))
    assert "row 17, column 'rating' must be from 1 to 5, got '6'" in message


def test_threshold_without_labels_is_refused(refused: Refused) -> None:
    message = refused("user,item\na,b\nc,d\n", threshold=4)
    assert message.startswith("data.threshold 4 needs a label column and none was found.")


def test_everything_filtered_away_tells_what_each_filter_left(refused: Refused) -> None:
    assert refused(GOOD, threshold=4, k_core=4) == (
        "No event is left after the filters (read: 15 events; label >= 4: 6 events; "
        "duplicates: 6 events; 4-core: 0 events). Loosen the last one."
    )


def test_one_user_is_refused(refused: Refused) -> None:
    message = refused(HEADER + "".join(f"a,{i},1,{i}\n" for i in range(5)))
    assert message.startswith("Only one user is left (read: 5 events; duplicates: 5 events)")


def test_one_item_is_refused(refused: Refused) -> None:
    message = refused(HEADER + "".join(f"{u},1,1,{u}\n" for u in range(5)))
    assert message.startswith("Only one item is left")


def test_split_without_test_events_is_refused(refused: Refused) -> None:
    message = refused("user,item,time\n" + "".join(f"{u},{u},1\n{u},0,2\n" for u in range(1, 5)))
    assert message.startswith(
        "Split leave-last-out leaves no validation event: 8 events of 4 users became 8 train, "
        "0 validation and 0 test."
    )


def test_temporal_split_of_equal_times_is_refused(refused: Refused) -> None:
    rows = "".join(f"{u},{i},7\n" for u in "ab" for i in range(9))
    message = refused("user,item,time\n" + rows, split=SplitRequest("temporal"))
    assert message.startswith("Split temporal leaves no train event")


@pytest.mark.parametrize("kind", ["temporal", "leave-last-out"])
def test_split_by_time_without_times_is_refused(refused: Refused, kind: Any) -> None:
    message = refused("user,item\na,1\nb,2\n", split=SplitRequest(kind))
    assert message.startswith(f"Split {kind} needs times and no time column was found.")


def test_unknown_extension_asks_for_the_format(refused: Refused) -> None:
    message = refused("1 2 3\n", "train.txt")
    assert "the extension '.txt' does not tell the format. Give data.format" in message


def test_repeated_column_is_refused(refused: Refused) -> None:
    assert "the header names 'user' twice" in refused("user,user,item\na,b,c\n")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_given_file_that_only_repeats_an_earlier_one_is_named(tmp_path: Path, part: str) -> None:
    texts = {"train": GOOD, "validation": HEADER + "a,5,1,60\n", "test": HEADER + "a,6,1,70\n"}
    texts[part] = HEADER + "b,3,4,30\n"
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    train, validation, test = (str(tmp_path / f"{name}.csv") for name in texts)
    request = DataRequest(train=train, validation=validation, test=test)
    with pytest.raises(DataError, match=rf"{part}\.csv: no event of this file counts"):
        prepare(request, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_given_files_with_different_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,item,time\na,b,1\n")
    (tmp_path / "test.csv").write_text("user,item\na,c\n")
    request = DataRequest(train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"))
    with pytest.raises(
        DataError, match=r"test\.csv: there is no time column, but .*train\.csv has"
    ):
        prepare(request, tmp_path / "cache")


def test_column_of_lists_cannot_be_an_id(refused: Refused, tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [[1], [2]], "item": [1, 2]})
    frame.write_parquet(tmp_path / "made.parquet")
    message = refused((tmp_path / "made.parquet").read_bytes(), "events.parquet")
    assert "column 'user' holds List(Int64), which cannot be read as String" in message
