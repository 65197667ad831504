import numpy as np

from automl_rec.plugin import Catalog, Histories


def two_users() -> Histories:
    indptr = np.array([0, 3, 6], np.int64)
    items = np.array([5, 1, 3, 2, 0, 2], np.int32)
    for array in (indptr, items):
        array.setflags(write=False)
    return Histories(indptr, items)


def test_the_matrix_leaves_histories_in_their_order_and_reads_memory_it_must_not_write() -> None:
    histories = two_users()
    histories.matrix(7)
    assert histories.items.tolist() == [5, 1, 3, 2, 0, 2]


def test_the_matrix_is_binary_with_sorted_columns_and_merged_repeats() -> None:
    matrix = two_users().matrix(7)
    assert matrix.toarray().tolist() == [[0, 1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 0, 0, 0]]
    assert matrix.indices.tolist() == [1, 3, 5, 0, 2]


def test_counts_are_of_different_users_and_items() -> None:
    catalog = Catalog(7, two_users())
    assert catalog.item_counts.tolist() == [1, 1, 1, 1, 0, 1, 0]
    assert catalog.user_counts.tolist() == [3, 2]
