import torch
from torch import nn

from automl_rec.plugin import TrainableMatrix
from automl_rec.training.checkpoint import Checkpoint, entries_kept


def matrix(values: list[list[float]]) -> TrainableMatrix:
    made = TrainableMatrix(len(values), len(values[0]))
    with torch.no_grad():
        made.weight.copy_(torch.tensor(values))
    return made


def test_parameters_buffers_and_masks_come_back_as_last_saved() -> None:
    weights, norm = matrix([[1.0, 2.0]]), nn.BatchNorm1d(2)
    weights.mask = torch.tensor([[1.0, 0.0]])
    checkpoint = Checkpoint(nn.ModuleList([weights, norm]))
    checkpoint.save()
    with torch.no_grad():
        weights.weight.fill_(5.0)
        assert norm.running_mean is not None
        norm.running_mean.fill_(3.0)
    checkpoint.save()
    with torch.no_grad():
        weights.weight.fill_(6.0)
        norm.running_mean.fill_(4.0)
    weights.mask = torch.tensor([[0.0, 0.0]])
    checkpoint.restore()
    assert weights.dense().tolist() == [[5.0, 0.0]]
    assert norm.running_mean.tolist() == [3.0, 3.0]


def test_a_mask_set_after_saving_keeps_every_entry() -> None:
    weights = matrix([[1.0, 2.0]])
    checkpoint = Checkpoint(weights)
    checkpoint.save()
    weights.mask = torch.tensor([[0.0, 1.0]])
    checkpoint.restore()
    assert weights.dense().tolist() == [[1.0, 2.0]]


def test_a_mask_saved_for_the_first_time_is_kept_too() -> None:
    weights = matrix([[1.0, 2.0]])
    checkpoint = Checkpoint(weights)
    checkpoint.save()
    weights.mask = torch.tensor([[0.0, 1.0]])
    checkpoint.save()
    weights.mask.fill_(1.0)
    checkpoint.restore()
    assert weights.dense().tolist() == [[0.0, 2.0]]


def test_entries_kept_counts_what_masks_leave() -> None:
    first, second = matrix([[1.0, 2.0]]), matrix([[1.0], [2.0], [3.0]])
    second.mask = torch.tensor([[0.0], [1.0], [0.0]])
    assert entries_kept(nn.ModuleList([first, second])) == 3


def test_an_entry_that_is_weighed_down_counts_in_part() -> None:
    weighed = matrix([[1.0, 2.0]])
    weighed.mask = torch.tensor([[1.0, 0.25]])
    assert entries_kept(weighed) == 1.25
