import numpy as np
import pytest

from automl_rec.plugin import Feature
from automl_rec_embeddings.contents import WIDEST, contents


def categorical(values: list[int], cardinality: int) -> Feature:
    return Feature("categorical", np.array(values, np.int32), cardinality)


def test_values_are_directions_and_unknown_ones_are_zeros() -> None:
    assert contents({"kind": categorical([1, -1, 0, 1], 3)}).tolist() == [
        [0, 1, 0],
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
    ]


def test_values_of_a_list_have_equal_shares() -> None:
    values, indptr = np.array([0, 1, 1], np.int32), np.array([0, 2, 3, 3])
    found = contents({"tags": Feature("multi", values, 2, indptr)})
    # The known rows (1/2, 1/2) and (0, 1) have squares 1/2 and 1, of mean 3/4.
    assert found == pytest.approx(np.array([[0.5, 0.5], [0, 1], [0, 0]]) / 0.75**0.5)


def test_numbers_are_centred_and_every_feature_weighs_the_same() -> None:
    numbers = Feature("numeric", np.array([1, 3, np.nan, 8], np.float32))
    vectors = Feature("vector", np.array([[3, 4], [0, 0], [6, 8], [0, 5]], np.float32), 2)
    found = contents({"b": vectors, "a": numbers})
    assert found.shape == (4, 3)
    assert found[:, 0] == pytest.approx(np.array([-3, -1, 0, 4]) / (26 / 3) ** 0.5)
    for block in (found[:, :1], found[:, 1:]):
        squares = np.square(block).sum(1)
        assert squares[squares > 0].mean() == pytest.approx(1.0)
    assert found[0, 1:] / found[2, 1:] == pytest.approx([0.5, 0.5])


def test_many_values_keep_their_distances_in_few_columns() -> None:
    found = contents({"brand": categorical([*range(300), 7], 300)})
    assert found.shape == (301, WIDEST)
    assert np.array_equal(found[300], found[7])
    products = found[:300] @ found[:300].T
    assert np.abs(products - np.identity(300)).max() < 0.7
    assert np.square(products - np.identity(300)).mean() == pytest.approx(1 / WIDEST, rel=0.1)
