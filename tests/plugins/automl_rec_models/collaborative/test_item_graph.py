import numpy as np
import pytest
import scipy.sparse as sp

from automl_rec.plugin import Catalog
from automl_rec_models.collaborative import nearest
from automl_rec_models.collaborative.item_graph import strongest_neighbours


def omega(matrix: sp.csr_matrix) -> np.ndarray:
    """Term by term as published."""
    dense = matrix.toarray().astype(np.float64)
    shared = dense.T @ dense
    sums = shared.sum(1)
    items = len(sums)
    result = np.zeros((items, items))
    for i in range(items):
        for j in range(items):
            if sums[i] > 0:
                ratio = np.sqrt((sums[i] + 1) / (sums[j] + 1))
                result[i, j] = shared[i, j] / sums[i] * ratio
    return result


@pytest.mark.parametrize("chunk", [1, 100, 2**23])
@pytest.mark.parametrize("itself", [True, False])
def test_neighbours_are_the_largest_of_each_row_in_order(
    catalog: Catalog, *, itself: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "CHUNK_PRODUCTS", chunk)
    expected = omega(catalog.matrix)
    if not itself:
        np.fill_diagonal(expected, 0)
    found = strongest_neighbours(catalog.matrix, 4, itself=itself)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(expected, order, 1)
    np.testing.assert_allclose(found.weights.numpy(), weights, rtol=1e-6)
    there = weights > 0
    assert (found.items.numpy()[there] == order[there]).all()
    assert there.any(1).sum() == 11


def test_missing_neighbours_are_the_item_itself_without_weight() -> None:
    """Items 0 and 1 share a user, 2 has one of its own, 3 none."""
    matrix = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 1, 0]], np.float32))
    found = strongest_neighbours(matrix, 3, itself=False)
    assert found.items.tolist() == [[1, 0, 0], [0, 1, 1], [2, 2, 2], [3, 3, 3]]
    np.testing.assert_allclose(found.weights.numpy()[:, 0], [0.5, 0.5, 0, 0])
    assert not found.weights[:, 1:].any()


def test_of_equal_neighbours_the_first_count() -> None:
    matrix = sp.csr_matrix(np.ones((1, 5), np.float32))
    found = strongest_neighbours(matrix, 2, itself=True)
    assert found.items.tolist() == [[0, 1]] * 5


def test_an_item_is_its_own_neighbour_where_it_may() -> None:
    matrix = sp.csr_matrix(np.eye(3, dtype=np.float32))
    found = strongest_neighbours(matrix, 1, itself=True)
    assert found.items.squeeze(1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.weights.numpy(), 1.0)
