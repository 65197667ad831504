import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec_embeddings.row_stores.selection import Entries, largest


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_the_largest_stay_and_of_those_that_tie_the_first(
    values: list[int], data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(values)))
    kept = largest(torch.tensor(values, dtype=torch.float32), number)
    order = sorted(range(len(values)), key=lambda place: (-values[place], place))
    assert kept.nonzero()[:, 0].tolist() == sorted(order[:number])


def test_as_many_entries_are_stored_as_planned_even_if_fewer_differ_from_zero() -> None:
    values = torch.zeros(10, 8)
    values[3, 2], values[7, 5] = -4.0, 1.0
    selection = Entries(10, 8, 5)
    matrix = selection.stored(values, selection.of(values.abs()))
    assert torch.equal(matrix.dense(), values)
    assert matrix.form() == selection.form()
    assert matrix.form().leaves()[0].entries == (5, 5)
