from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import Field, PlainTable
from automl_rec_models.sequential.next_item import LossName, NextItemLoss, sampled_scores

ITEMS, WIDTH = 7, 3
TARGETS = torch.tensor([4, 0, 6])
OWN = torch.tensor([[1, 2], [0, 5], [3, 3]])  # the second state's first negative is its target
SHARED = torch.tensor([0, 2, 5])


def drawn() -> tuple[PlainTable, Tensor]:
    generator = torch.Generator().manual_seed(0)
    table = PlainTable(Field("item", ITEMS, WIDTH, std=1.0), generator)
    return table, torch.randn(3, WIDTH, generator=generator)


def loss_of(name: LossName, negatives: Tensor, calibration: float = 0.0) -> Tensor:
    table, states = drawn()
    loss = NextItemLoss(name, negatives.shape[-1], negatives.ndim == 1, calibration)
    return loss.of(table, states, TARGETS, negatives)


@pytest.mark.parametrize("negatives", [OWN, SHARED])
def test_scores_are_inner_products_and_none_for_the_target_as_negative(negatives: Tensor) -> None:
    table, states = drawn()
    logits = states @ table.rows().T
    positive, negative = sampled_scores(table, states, TARGETS, negatives)
    expected = logits.gather(1, negatives.expand(3, -1))
    expected[1, 0] = -torch.inf
    torch.testing.assert_close(positive, logits.gather(1, TARGETS[:, None])[:, 0])
    torch.testing.assert_close(negative, expected)


def test_the_softmax_over_all_others_as_negatives_is_the_full_one() -> None:
    everything = torch.arange(ITEMS)
    full = loss_of("full-ce", torch.empty(3, 0, dtype=torch.int64))
    torch.testing.assert_close(loss_of("sampled-softmax", everything), full)
    torch.testing.assert_close(loss_of("sampled-softmax", everything.expand(3, -1)), full)


def test_gbce_without_calibration_is_bce() -> None:
    torch.testing.assert_close(loss_of("gbce", OWN), loss_of("bce", OWN))
    table, states = drawn()
    logits = states @ table.rows().T
    # t = 1 and N = 2 of the 6 other items: the positive's likelihood to the power 1/3.
    positive = F.softplus(-logits.gather(1, TARGETS[:, None])).sum() / 3
    negative = F.softplus(logits.gather(1, OWN))
    negative[1, 0] = 0
    torch.testing.assert_close(loss_of("gbce", OWN, 1.0), (positive + negative.sum()) / 9)


@pytest.mark.parametrize("name", get_args(LossName))
@pytest.mark.parametrize("negatives", [OWN, SHARED])
def test_a_step_against_the_slope_lowers_every_loss(name: LossName, negatives: Tensor) -> None:
    table, states = drawn()
    loss = NextItemLoss(name, negatives.shape[-1], negatives.ndim == 1, 0.5)
    first = loss.of(table, states, TARGETS, negatives)
    first.backward()
    with torch.no_grad():
        rows = table.store.trainable
        assert rows.grad is not None
        assert bool(rows.grad.isfinite().all())
        rows.sub_(rows.grad, alpha=0.01)
    assert loss.of(table, states, TARGETS, negatives) < first


def test_shared_negatives_are_not_rejected() -> None:
    assert NextItemLoss("bce", 4, shared=True).sampling(20).sampler == "uniform"
    own = NextItemLoss("bce", 4).sampling(20, 10)
    assert (own.sampler, own.length, own.horizon) == ("uniform-rejecting", 20, 10)
