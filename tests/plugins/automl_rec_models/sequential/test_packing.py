import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from automl_rec_models.sequential.packing import Packing


def padded(rows: list[list[int]], length: int) -> torch.Tensor:
    return torch.tensor([[-1] * (length - len(row)) + row for row in rows])


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=7),
    st.integers(0, 2),
)
def test_it_is_torchs_packing_of_the_items(rows: list[list[int]], more: int) -> None:
    histories = padded(rows, max(map(len, rows)) + more)
    packing = Packing.of(histories)
    theirs = pack_sequence([torch.tensor(row) for row in rows], enforce_sorted=False)
    assert torch.equal(packing.items, theirs.data)
    assert torch.equal(packing.sizes, theirs.batch_sizes)
    found = torch.cat([torch.tensor([-1]), packing.items])[packing.places]
    assert torch.equal(found, histories)


def test_histories_without_items_have_no_place() -> None:
    packing = Packing.of(padded([[], [4, 5], []], 3))
    assert packing.items.tolist() == [4, 5]
    assert packing.sizes.tolist() == [1, 1]
    assert packing.places.tolist() == [[0, 0, 0], [0, 1, 2], [0, 0, 0]]
    assert len(Packing.of(padded([[]], 2)).items) == 0
