import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.plugin import BlockMatrix, blocks_form
from automl_rec_embeddings.row_stores.selection import Columns, Entries


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_the_largest_stay_and_of_those_that_tie_the_first(
    values: list[int], data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(values)))
    kept = Entries(1, len(values), number).of(torch.tensor([values], dtype=torch.float32))
    order = sorted(range(len(values)), key=lambda place: (-values[place], place))
    assert kept[0].nonzero()[:, 0].tolist() == sorted(order[:number])


def test_as_many_entries_are_stored_as_planned_even_if_fewer_differ_from_zero() -> None:
    values = torch.zeros(10, 8)
    values[3, 2], values[7, 5] = -4.0, 1.0
    selection = Entries(10, 8, 5)
    matrix = selection.stored(values, selection.of(values.abs()))
    assert torch.equal(matrix.dense(), values)
    assert matrix.form().leaves()[0].entries == (5, 5)


def test_columns_of_blocks_are_chosen_by_their_mean_and_not_by_their_size() -> None:
    blocks = torch.tensor([0, 1, 0, 1, 0])
    values = torch.tensor([[1.0, 3.0], [0.0, -3.0], [1.0, 0.0], [2.0, 3.0], [1.0, 0.0]])
    selection = Columns(5, 2, 2, blocks)
    kept = selection.of(values.abs())
    # Mean squares: 1 and 3 in the first block of three, 2 and 9 in the second of two.
    assert kept.tolist() == [[False, True]] * 5
    kept = Columns(5, 2, 3, blocks).of(values.abs())
    assert kept[:2].tolist() == [[False, True], [True, True]]
    matrix = Columns(5, 2, 3, blocks).stored(values, kept)
    assert isinstance(matrix, BlockMatrix)
    assert torch.equal(matrix.dense(), values * kept)
    assert matrix.form() == blocks_form(5, 2, 2, 3)
