"""The data that ship are GroupLens' and work with nothing else given."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_rec.data import ColumnNames, DataRequest, Prepared, list_sources, prepare
from automl_rec.data.builtin import resolve
from automl_rec.errors import DataError


@pytest.fixture(scope="module")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(DataRequest(source="movielens-small"), tmp_path_factory.mktemp("cache"))


def shipped() -> Path:
    path = list_sources()[0].request.path
    assert path is not None
    return Path(path)


def test_file_is_under_a_megabyte_with_its_terms_beside_it() -> None:
    assert shipped().stat().st_size < 1_000_000
    terms = shipped().with_name("movielens_small.LICENSE.md").read_text("utf-8")
    assert "10.1145/2827872" in terms


def test_content_is_the_published_one() -> None:
    frame = pl.read_parquet(shipped())
    assert frame.height == 100_004
    assert frame.row(0, named=True) == {
        "userId": 1,
        "movieId": 31,
        "rating": 2.5,
        "timestamp": 1260759144,
        "title": "Dangerous Minds",
        "year": 1995,
        "genres": "Drama",
    }


def test_sizes_are_the_published_ones(movielens: Prepared) -> None:
    assert (movielens.catalog.num_users, movielens.catalog.num_items) == (671, 9066)
    assert movielens.description["events"] == 100_004
    assert movielens.description["split"] == "leave-last-out"


def test_split_equals_an_independent_one(movielens: Prepared) -> None:
    frame = pl.read_parquet(shipped()).with_row_index()
    last = frame.sort("userId", "timestamp", "index").group_by("userId", maintain_order=True)
    expected = last.agg(test=pl.col("movieId").last(), validation=pl.col("movieId").get(-2))
    for name in ("validation", "test"):
        held_out = getattr(movielens, name)
        assert held_out.lengths.tolist() == [1] * 671
        found = movielens.item_ids.gather(held_out.items).cast(pl.Int32)
        assert found.to_list() == expected[name].to_list()
    assert movielens.user_ids.to_list() == [str(u) for u in range(1, 672)]
    assert len(movielens.catalog.histories.items) == 100_004 - 2 * 671


def test_genres_and_year_of_a_film(movielens: Prepared) -> None:
    film = movielens.item_ids.to_list().index("1")
    genres = movielens.catalog.item_features["genres"]
    assert genres.indptr is not None
    codes = genres.values[genres.indptr[film] : genres.indptr[film + 1]]
    names = movielens.feature_values("item", "genres").gather(codes).to_list()
    assert names == ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]
    assert movielens.catalog.item_features["year"].values[film] == np.float32(1995)


def test_unknown_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"'movielens' is not built in\. Choose movielens-small"):
        resolve(DataRequest(source="movielens"))


def test_filters_of_the_request_hold_for_a_source() -> None:
    request = resolve(DataRequest(source="movielens-small", threshold=4.0, k_core=5, seed=3))
    assert (request.threshold, request.k_core, request.seed) == (4.0, 5, 3)
    assert request.columns == ColumnNames("userId", "movieId", "timestamp", "rating")
