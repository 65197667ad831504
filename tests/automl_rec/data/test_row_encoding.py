"""How cells become the values of fields, and the file that keeps it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.data.cells import Cells
from automl_rec.data.request import FieldKind
from automl_rec.data.row_encoding import FieldEncoding, Lookup, RowEncoding, Source
from automl_rec.errors import DataError


def learned(kind: FieldKind, train: list[Any], min_count: int = 1) -> FieldEncoding:
    source = Source("x", "x", kind)
    return FieldEncoding.learn(source, source.read(cells(train)), min_count)


def cells(values: list[Any]) -> Cells:
    return Cells(pl.Series("x", values), pl.Series(range(1, len(values) + 1)), "x", "f.csv")


def encoded(known: FieldEncoding, values: list[Any]) -> list[Any]:
    (feature,) = RowEncoding((known,)).encode(pl.DataFrame({"x": values})).values()
    return list(feature.values.tolist())


def test_values_are_numbered_from_one_in_their_order_and_others_are_zero() -> None:
    known = learned("categorical", ["b", "10", None, "a", "b"])
    assert encoded(known, ["10", "a", "b", "c", "", None]) == [1, 2, 3, 0, 0, 0]


def test_whole_numbers_are_ordered_and_known_however_they_are_typed() -> None:
    known = learned("categorical", ["10", "9", "9.5", "8.0"])
    assert known.vocabulary is not None
    assert known.vocabulary.values.to_list() == ["10", "8", "9", "9.5"]
    assert encoded(known, [10, 9, 8]) == [1, 3, 2]
    assert encoded(known, [10.0, 9.5, math.nan]) == [1, 4, 0]
    assert encoded(learned("categorical", [10.0, 2.0]), ["2", "10"]) == [1, 2]


def test_values_rarer_than_the_least_count_are_unknown() -> None:
    known = learned("categorical", ["a"] * 3 + ["b"] * 2 + ["c"], min_count=2)
    assert encoded(known, ["a", "b", "c"]) == [1, 2, 0]
    several = learned("multi", ["a|b", "a|c", "a|a|c"], min_count=2)
    assert encoded(several, ["a|b|c"]) == [1, 0, 2]


def test_several_values_are_divided_and_known_in_lists_as_well() -> None:
    known = learned("multi", ["b|a", " c | ", None, ""])
    for column in ([["a", "zz"], [], None, ["c"]], ["a|zz", "", None, "c"]):
        (feature,) = RowEncoding((known,)).encode(pl.DataFrame({"x": column})).values()
        assert feature.values.tolist() == [1, 0, 3]
        assert feature.indptr is not None
        assert feature.indptr.tolist() == [0, 2, 2, 2, 3]
    assert feature.cardinality == 4


def test_lists_may_hold_nothing_among_their_values() -> None:
    known = learned("multi", [["b", None, " a", ""], [None], None])
    assert known.vocabulary is not None
    assert known.vocabulary.values.to_list() == ["a", "b"]
    assert encoded(known, [[None, "b"], ["a"]]) == [2, 1]


def test_numbers_are_standardised_on_train_and_zero_where_unknown() -> None:
    known = learned("numeric", ["1", "3", None, "5"])
    assert known.mean == 3.0
    assert known.std == pytest.approx(math.sqrt(8 / 3))
    np.testing.assert_allclose(encoded(known, [3, 5, None]), [0, 2 / math.sqrt(8 / 3), 0])


@pytest.mark.parametrize("train", [[7, 7], [None, None]])
def test_numbers_without_any_spread_are_not_divided_by_it(train: list[Any]) -> None:
    assert learned("numeric", train).std == 1.0


@given(st.floats(-1e9, 1e9))
def test_bins_are_whole_up_to_two_and_squared_logarithms_beyond(number: float) -> None:
    if number < 0:
        expected = -1
    elif number <= 2:
        expected = math.floor(number)
    else:
        expected = 2 + math.floor(math.log(number) ** 2)
    (found,) = Source("x", "x", "binned").read(cells([number])).to_list()
    assert found == str(expected)


def test_bins_never_fall_as_numbers_rise() -> None:
    numbers = np.linspace(0, 200, 4001).tolist()
    bins = Source("x", "x", "binned").read(cells(numbers)).cast(pl.Int64)
    assert bins.is_sorted()
    assert bins.max() == 2 + math.floor(math.log(200) ** 2)


def test_binned_cells_are_categories() -> None:
    known = learned("binned", ["-5", "0", "", "3", "100"])
    (feature,) = (
        RowEncoding((known,)).encode(pl.DataFrame({"x": [-1.0, 2.9, 101.0, None]})).values()
    )
    assert (feature.kind, feature.cardinality) == ("categorical", 5)
    assert feature.values.tolist() == [1, 3, 4, 0]


@given(
    train=st.lists(st.none() | st.sampled_from("abcdef"), min_size=1, max_size=30),
    new=st.lists(st.none() | st.sampled_from("abcdefgh"), min_size=1, max_size=10),
    least=st.integers(1, 4),
)
def test_an_encoding_agrees_with_counting_by_hand(
    train: list[str | None], new: list[str | None], least: int
) -> None:
    kept = sorted({v for v in train if v is not None and train.count(v) >= least})
    expected = [kept.index(v) + 1 if v in kept else 0 for v in new]
    source = Source("x", "x", "categorical")
    known = FieldEncoding.learn(source, pl.Series(train, dtype=pl.String), least)
    assert known.encode(pl.Series(new, dtype=pl.String)).values.tolist() == expected


def rich() -> RowEncoding:
    """One field of every kind, three of them looked up by the item."""
    ids = pl.Series(["1", "2", "3"])
    looked_up: list[tuple[FieldKind, pl.Series]] = [
        ("categorical", pl.Series(["red", None, "blue"])),
        ("multi", pl.Series([["a"], None, ["b", "a"]])),
        ("numeric", pl.Series([1.0, None, 3.0])),
    ]
    fields = [
        FieldEncoding.learn(Source("item", "itemId", "categorical"), ids, 1),
        FieldEncoding.learn(Source("hour", "hour", "binned", " "), pl.Series(["1", "2"]), 1),
    ]
    for kind, values in looked_up:
        source = Source(f"item {kind}", kind, kind)
        fields.append(FieldEncoding.learn(source, values, 1, Lookup("itemId", ids, values)))
    return RowEncoding(tuple(fields))


NEW = pl.DataFrame({"itemId": [3, 9, 2, 1], "hour": [1, 2, None, 7], "other": [0, 0, 0, 0]})


def test_cells_of_features_are_looked_up_by_the_item() -> None:
    found = rich().encode(NEW)
    assert found["item"].values.tolist() == [3, 0, 2, 1]
    assert found["item categorical"].values.tolist() == [1, 0, 0, 2]
    assert found["item numeric"].values.tolist() == [1, 0, 0, -1]
    assert found["item multi"].values.tolist() == [2, 1, 1]
    assert found["item multi"].indptr is not None
    assert found["item multi"].indptr.tolist() == [0, 2, 2, 2, 3]


def test_rows_may_bring_the_cells_that_would_be_looked_up() -> None:
    found = rich().encode(NEW.with_columns(categorical=pl.Series(["red", "red", "blue", "x"])))
    assert found["item categorical"].values.tolist() == [2, 2, 1, 0]


def test_what_is_read_was_written(tmp_path: Path) -> None:
    rich().write(tmp_path / "encoding.parquet")
    read = RowEncoding.read(tmp_path / "encoding.parquet")
    assert [known.source for known in read.fields] == [known.source for known in rich().fields]
    before, after = rich().encode(NEW), read.encode(NEW)
    assert list(before) == list(after)
    for name, feature in before.items():
        np.testing.assert_array_equal(feature.values, after[name].values)
        np.testing.assert_array_equal(feature.indptr, after[name].indptr)
        assert (feature.kind, feature.cardinality) == (after[name].kind, after[name].cardinality)


def test_missing_columns_are_all_named() -> None:
    with pytest.raises(DataError) as caught:
        rich().encode(NEW.select("other"), "new.csv")
    assert str(caught.value) == (
        "new.csv: there is no column 'itemId' and no 'hour'; the columns are other. "
        "Give the columns that the model was trained on: itemId, hour."
    )


def test_columns_to_be_read_are_told_without_the_rows() -> None:
    assert rich().read_columns(["other", "hour", "itemId"]) == ["itemId", "hour"]
    given = ["numeric", "hour", "itemId"]
    assert rich().read_columns(given) == ["itemId", "hour", "numeric"]


def test_a_cell_that_is_no_number_is_named() -> None:
    with pytest.raises(DataError, match="rows: row 2, column 'hour' must be a number or empty"):
        rich().encode(NEW.with_columns(hour=pl.Series(["1", "noon", "2", ""])))


@pytest.mark.parametrize("content", [None, b"", b"no parquet"])
def test_a_damaged_file_is_explained(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "encoding.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"encoding\.parquet: these are no whole encodings"):
        RowEncoding.read(path)


def test_a_file_of_other_columns_is_explained(tmp_path: Path) -> None:
    pl.DataFrame({"name": ["x"]}).write_parquet(tmp_path / "encoding.parquet")
    with pytest.raises(DataError, match="these are no whole encodings"):
        RowEncoding.read(tmp_path / "encoding.parquet")


def test_no_rows_give_no_values() -> None:
    found = rich().encode(NEW.clear())
    assert all(len(feature.values) == 0 for feature in found.values())


def test_numbers_far_beyond_train_are_cut_and_those_of_train_never() -> None:
    known = learned("numeric", [0.0] * 99 + [1e30])
    assert encoded(known, [1e30]) == pytest.approx([math.sqrt(99)])
    small = learned("numeric", [1.0, 3.0])
    assert encoded(small, [1e38, -1e38]) == [1e6, -1e6]
