import numpy as np
import pytest
import scipy.sparse as sp

from automl_rec_models.collaborative.nearest import largest, nearest


def unordered() -> sp.csr_matrix:
    """Three rows, columns as a product leaves them, the middle one empty."""
    values = np.array([0.2, 0.9, 0.5, 0.9, 0.5, 0.5, 0.1])
    return sp.csr_matrix((values, [4, 3, 0, 1, 2, 2, 0], [0, 5, 5, 7]), (3, 5))


@pytest.mark.parametrize(
    ("count", "columns", "ranks"),
    [
        (1, [1, 2], [0, 0]),
        (3, [1, 3, 0, 2, 0], [0, 1, 2, 0, 1]),
        (9, [1, 3, 0, 2, 4, 2, 0], [0, 1, 2, 3, 4, 0, 1]),
    ],
)
def test_the_largest_come_in_order_and_equals_by_column(
    count: int, columns: list[int], ranks: list[int]
) -> None:
    kept, found = largest(unordered(), count)
    assert unordered().indices[kept].tolist() == columns
    assert found.tolist() == ranks


def test_negative_entries_are_kept_where_there_are_no_others() -> None:
    kept, _ = largest(sp.csr_matrix(np.array([[-2.0, -1.0]])), 5)
    assert kept.tolist() == [1, 0]


def test_the_nearest_stay_where_they_are() -> None:
    expected = [[0.5, 0.9, 0, 0.9, 0], [0, 0, 0, 0, 0], [0.1, 0, 0.5, 0, 0]]
    assert nearest(unordered(), 3).toarray().tolist() == expected
