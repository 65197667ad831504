"""Features are aligned with the numbering of the interactions."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_rec.data import FeatureFile
from automl_rec.data.features import read_features
from automl_rec.data.interactions import Vocabulary
from automl_rec.errors import DataError

ITEMS = Vocabulary(pl.Series("id", ["1", "2", "3", "4"]))
TEXT = "item,kind,tags,year\n3,b,x|y|x,1999\n1,a, y | z ,2001.5\n9,c,w,1\n2,,,\n"


def file(tmp_path: Path, text: str = TEXT, name: str = "items.csv") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_each_kind_is_aligned_and_unknown_where_empty_or_absent(tmp_path: Path) -> None:
    columns = {"kind": "categorical", "tags": "multi", "year": "numeric"}
    request = FeatureFile(file(tmp_path), columns)  # type: ignore[arg-type]
    (kind, tags, year), absent = read_features(request, "item", ITEMS)
    assert absent == 1
    assert kind.feature.values.tolist() == [0, -1, 1, -1]
    assert (kind.feature.cardinality, kind.feature.kind) == (2, "categorical")
    assert kind.vocabulary is not None
    assert kind.vocabulary.values.to_list() == ["a", "b"]
    assert tags.feature.indptr is not None
    assert tags.feature.indptr.tolist() == [0, 2, 2, 4, 4]
    assert tags.feature.values.tolist() == [1, 2, 0, 1]
    assert tags.vocabulary is not None
    assert tags.vocabulary.values.to_list() == ["x", "y", "z"]
    assert tags.feature.cardinality == 3
    np.testing.assert_array_equal(year.feature.values, [2001.5, np.nan, 1999, np.nan])
    assert year.feature.values.dtype == np.float32
    assert year.vocabulary is None


def test_inter_files_divide_several_values_by_blanks(tmp_path: Path) -> None:
    text = "item_id:token\tclass:token_seq\n1\tDrama Comedy\n2\tDrama\n"
    request = FeatureFile(file(tmp_path, text, "i.item"), {"class": "multi"})
    (named,), absent = read_features(request, "item", ITEMS)
    assert absent == 2
    assert named.feature.values.tolist() == [1, 0, 1]


def test_parquet_lists_are_several_values(tmp_path: Path) -> None:
    frame = pl.DataFrame({"item": [1, 2, 3, 4], "tags": [["b", "a"], [], None, ["b"]]})
    frame.write_parquet(tmp_path / "i.parquet")
    request = FeatureFile(str(tmp_path / "i.parquet"), {"tags": "multi"})
    (named,), _ = read_features(request, "item", ITEMS)
    assert named.feature.indptr is not None
    assert named.feature.indptr.tolist() == [0, 2, 2, 2, 3]
    assert named.feature.values.tolist() == [1, 0, 1]


def test_equal_rows_of_one_id_are_one_and_different_ones_refused(tmp_path: Path) -> None:
    request = FeatureFile(file(tmp_path, "item,kind\n1,a\n1,a\n2,b\n"), {"kind": "categorical"})
    (named,), _ = read_features(request, "item", ITEMS)
    assert named.feature.values.tolist() == [0, 1, -1, -1]
    request = FeatureFile(file(tmp_path, "item,kind\n1,a\n1,b\n"), {"kind": "categorical"})
    with pytest.raises(DataError, match="id '1' has two rows that differ"):
        read_features(request, "item", ITEMS)


def test_order_of_a_large_file_does_not_matter(tmp_path: Path) -> None:
    shuffled = np.random.default_rng(0).permutation(20_000)
    pl.DataFrame({"item": shuffled, "year": shuffled}).write_parquet(tmp_path / "i.parquet")
    vocabulary = Vocabulary(pl.Series("id", [str(n) for n in range(20_000)]))
    request = FeatureFile(str(tmp_path / "i.parquet"), {"year": "numeric"})
    (year,), _ = read_features(request, "item", vocabulary)
    np.testing.assert_array_equal(year.feature.values, np.arange(20_000))


def test_bad_number_is_named_by_row(tmp_path: Path) -> None:
    text = TEXT.replace("1999", "unknown")
    with pytest.raises(DataError, match="row 2, column 'year' must be a number or empty"):
        read_features(FeatureFile(file(tmp_path, text), {"year": "numeric"}), "item", ITEMS)


def test_missing_feature_or_id_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no column 'colour'; the columns are item, kind"):
        read_features(FeatureFile(file(tmp_path), {"colour": "numeric"}), "item", ITEMS)
    with pytest.raises(DataError, match=r"no column holds the user ids.*data\.user_features\.id"):
        read_features(FeatureFile(file(tmp_path), {"kind": "categorical"}), "user", ITEMS)


def test_vectors_are_float32_rows_and_zeros_where_unknown(tmp_path: Path) -> None:
    text = "item,place\n3,1|2.5\n1, -1 | 4 \n9,7|8\n2,\n"
    request = FeatureFile(file(tmp_path, text), {"place": "vector"})
    (place,), absent = read_features(request, "item", ITEMS)
    assert absent == 1
    assert (place.feature.kind, place.feature.cardinality, place.vocabulary) == ("vector", 2, None)
    assert place.feature.values.dtype == np.float32
    assert place.feature.values.tolist() == [[-1, 4], [0, 0], [1, 2.5], [0, 0]]


def test_vectors_of_inter_files_are_divided_by_blanks(tmp_path: Path) -> None:
    text = "item_id:token\tplace:float_seq\n1\t1 2  3\n2\t4 5 6\n"
    request = FeatureFile(file(tmp_path, text, "i.item"), {"place": "vector"})
    (place,), _ = read_features(request, "item", ITEMS)
    assert place.feature.values.tolist() == [[1, 2, 3], [4, 5, 6], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.List(pl.Int8), pl.Array(pl.Float32, 2)])
def test_parquet_lists_are_vectors(tmp_path: Path, dtype: pl.DataType) -> None:
    frame = pl.DataFrame({"item": [2, 1, 4], "place": [[1, 2], None, [3, 4]]})
    frame.with_columns(pl.col("place").cast(dtype)).write_parquet(tmp_path / "i.parquet")
    request = FeatureFile(str(tmp_path / "i.parquet"), {"place": "vector"})
    (place,), _ = read_features(request, "item", ITEMS)
    assert place.feature.values.tolist() == [[0, 0], [1, 2], [0, 0], [3, 4]]


def test_vectors_keep_their_width_where_none_is_known(tmp_path: Path) -> None:
    request = FeatureFile(file(tmp_path, "item,place\n9,7|8\n"), {"place": "vector"})
    (place,), absent = read_features(request, "item", ITEMS)
    assert (absent, place.feature.values.shape) == (4, (4, 2))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1|x", "row 3, column 'place' must be numbers, got '1|x'"),
        ("1|nan", "row 3, column 'place' must be numbers, got '1|nan'"),
        ("1|inf", "row 3, column 'place' must be numbers, got '1|inf'"),
        ("1||2", "row 3, column 'place' must be numbers, got '1||2'"),
        ("1|2|3", "row 3, column 'place' must be a vector of 2 numbers, as above, got '1|2|3'"),
    ],
)
def test_a_bad_vector_is_named_by_row(tmp_path: Path, cell: str, message: str) -> None:
    request = FeatureFile(file(tmp_path, f"item,place\n1,1|2\n2,{cell}\n"), {"place": "vector"})
    with pytest.raises(DataError, match=re.escape(message)):
        read_features(request, "item", ITEMS)


def test_missing_numbers_in_lists_and_columns_without_vectors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "i.parquet"
    pl.DataFrame({"item": [1], "place": [[1.0, None]]}).write_parquet(path)
    with pytest.raises(
        DataError, match=r"row 1, column 'place' must be numbers, got \[1.0, None\]"
    ):
        read_features(FeatureFile(str(path), {"place": "vector"}), "item", ITEMS)
    request = FeatureFile(file(tmp_path, "item,place\n1,\n2,\n"), {"place": "vector"})
    with pytest.raises(DataError, match="column 'place' must hold a vector somewhere"):
        read_features(request, "item", ITEMS)


def test_an_infinite_number_is_refused(tmp_path: Path) -> None:
    text = TEXT.replace("1999", "inf")
    with pytest.raises(DataError, match="row 2, column 'year' must be a number or empty"):
        read_features(FeatureFile(file(tmp_path, text), {"year": "numeric"}), "item", ITEMS)
