import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec_models.sequential.grouping import by_length


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(0, 3))
def test_parts_hold_every_history_once_no_wider_than_needed(lengths: list[int], more: int) -> None:
    histories = torch.full((len(lengths), max(*lengths, 1) + more), -1)
    for row, length in enumerate(lengths):
        histories[row, histories.shape[1] - length :] = row
    order, parts = by_length(histories)
    rows = [row for part in parts for row in part]
    assert sorted(order.tolist()) == list(range(len(lengths)))
    for row, number in zip(rows, order.tolist(), strict=True):
        assert row[row >= 0].tolist() == [number] * lengths[number]
    for part in parts:
        inside = (part >= 0).sum(1)
        assert part.shape[1] == max(int(inside.max()), 1)
        assert int(inside.min()) > part.shape[1] / 2 or part.shape[1] <= 8
