import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from automl_rec.plugin import Pairs
from automl_rec_models.collaborative.pairwise import (
    PairRows,
    bpr,
    item_ids,
    penalised_bpr,
    penalty,
)


def rows(users: int = 4, negatives: int = 3, width: int = 5) -> PairRows:
    generator = torch.Generator().manual_seed(0)
    shapes = (users, width), (users, 1 + negatives, width)
    drawn = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    return PairRows(*(part.requires_grad_() for part in drawn))


def test_positives_stand_before_their_negatives() -> None:
    batch = Pairs(torch.tensor([0, 1]), torch.tensor([7, 8]), torch.tensor([[1, 2], [3, 4]]))
    assert item_ids(batch).tolist() == [[7, 1, 2], [8, 3, 4]]


def test_the_loss_is_ln_2_when_all_scores_are_equal() -> None:
    same = PairRows(torch.ones(6, 4), torch.full((6, 3, 4), 0.25))
    assert bpr(same).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("negatives", [1, 3])
def test_the_slope_of_a_positives_score_is_minus_the_mean_doubt_over_the_batch(
    negatives: int,
) -> None:
    given = rows(negatives=negatives)
    bpr(given).backward()
    scores = (given.items * given.users[:, None]).sum(2).detach()
    doubt = torch.sigmoid(scores[:, 1:] - scores[:, :1]).mean(1)
    slope = given.items.grad
    assert slope is not None
    expected = -doubt[:, None] / 4 * given.users.detach()
    torch.testing.assert_close(slope[:, 0], expected)


def test_the_loss_does_not_change_under_a_change_of_basis() -> None:
    given = rows()
    generator = torch.Generator().manual_seed(1)
    basis = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    moved = PairRows(given.users @ basis, given.items @ torch.linalg.inv(basis).T)
    torch.testing.assert_close(bpr(moved), bpr(given))


@pytest.mark.parametrize("negatives", [1, 2, 4])
def test_the_penalty_is_half_the_mean_squared_lengths(negatives: int) -> None:
    given = rows(negatives=negatives)

    def length(part: Tensor) -> Tensor:
        return part.square().sum(-1)

    each = length(given.users) + length(given.items[:, 0]) + length(given.items[:, 1:]).mean(1)
    torch.testing.assert_close(penalty(given), each.mean() / 2)
    assert gradcheck(lambda *parts: penalty(PairRows(*parts)), tuple(given))


@pytest.mark.parametrize("negatives", [1, 3])
@pytest.mark.parametrize("regularization", [0.0, 0.7])
def test_loss_and_penalty_in_one_equal_their_sum(negatives: int, regularization: float) -> None:
    given = rows(negatives=negatives)
    together = penalised_bpr(given, regularization)
    torch.testing.assert_close(together, bpr(given) + regularization * penalty(given))
    assert gradcheck(lambda *parts: penalised_bpr(PairRows(*parts), regularization), tuple(given))
