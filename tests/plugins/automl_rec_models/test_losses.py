import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from automl_rec_models.losses import (
    binary_cross_entropy,
    calibrated_beta,
    cosine_contrastive,
    in_batch_softmax,
    sampled_softmax,
    warp,
    without_targets,
)

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ccl": lambda p, n: cosine_contrastive(p, n, weight=3.0, margin=0.2),
    "bce": binary_cross_entropy,
    "gbce": lambda p, n: binary_cross_entropy(p, n, 0.3),
    "sampled-softmax": sampled_softmax,
    "warp": lambda p, n: warp(p, n, 50),
}


def scores(positives: int = 5, negatives: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (positives,), (positives, negatives)
    drawn = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    return drawn[0].requires_grad_(), drawn[1].requires_grad_()


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_are_those_of_the_loss(name: str) -> None:
    assert gradcheck(LOSSES[name], scores())


@pytest.mark.parametrize("name", LOSSES)
def test_a_negative_that_is_the_target_counts_for_nothing(name: str) -> None:
    positives, negatives = scores()
    wide = torch.cat([negatives, torch.full((5, 1), 9.0, dtype=torch.float64)], 1)
    ids = torch.tensor([1, 2, 3, 4, 7])  # shared; the last is everybody's target
    masked = without_targets(wide, ids, torch.full((5,), 7))
    loss = LOSSES[name](positives, masked)
    loss.backward()
    assert negatives.grad is not None
    assert negatives.grad.isfinite().all()
    # The means of ccl and of the cross entropies are over the places drawn.
    expected = LOSSES[name](positives, negatives)
    if name == "ccl":
        hinge = F.relu(1 - positives).mean()
        expected = hinge + (expected - hinge) * 4 / 5
    elif name.endswith("bce"):
        expected = expected * 5 / 6
    torch.testing.assert_close(loss, expected)


def test_softmax_of_a_positive_whose_only_negative_is_itself_is_flat() -> None:
    positives = torch.zeros(2, requires_grad=True)
    sampled_softmax(positives, torch.full((2, 1), -torch.inf)).backward()
    assert positives.grad is not None
    assert positives.grad.tolist() == [0.0, 0.0]


def test_cosine_contrastive_is_0_when_positives_agree_and_negatives_stay_below_the_margin() -> None:
    assert cosine_contrastive(torch.ones(3), torch.full((3, 2), 0.4), weight=9, margin=0.4) == 0


def test_cosine_contrastive_by_hand() -> None:
    positives = torch.tensor([0.5, 0.9])
    negatives = torch.tensor([[0.7, 0.1], [0.5, 0.6]])
    # Mean of 0.5 and 0.1, and ten times the mean of 0.3, 0.1, 0.2 and 0.
    loss = cosine_contrastive(positives, negatives, weight=10.0, margin=0.4)
    assert loss.item() == pytest.approx(1.8)


def test_binary_cross_entropy_is_torchs_over_all_decisions() -> None:
    positives, negatives = scores()
    logits = torch.cat([positives[:, None], negatives], 1)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    expected = F.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(binary_cross_entropy(positives, negatives), expected)


def test_beta_is_an_exponent_on_the_positives_probability() -> None:
    positives, negatives = scores()
    likely = positives.sigmoid() ** 0.3
    expected = -(likely.log().sum() + (1 - negatives.sigmoid()).log().sum()) / 25
    torch.testing.assert_close(binary_cross_entropy(positives, negatives, 0.3), expected)


@pytest.mark.parametrize(("calibration", "beta"), [(0.0, 1.0), (1.0, 0.04), (0.75, 0.28)])
def test_beta_by_hand(calibration: float, beta: float) -> None:
    # 4 of 100 others: 0.04 * (t * (1 - 25) + 25)
    assert calibrated_beta(4, 101, calibration) == pytest.approx(beta)


def test_full_calibration_finds_the_probability_that_few_negatives_hide() -> None:
    """Of 100 others 4 are drawn: at the minimum of the loss sigmoid(s) is the true probability."""
    truth, share = 0.2, 0.04
    beta = calibrated_beta(4, 101, 1.0)
    s = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    loss = beta * truth * F.softplus(-s) + share * (1 - truth) * F.softplus(s)
    assert s[loss.argmin()].sigmoid().item() == pytest.approx(truth, abs=1e-4)


def test_sampled_softmax_is_the_cross_entropy_of_the_first_place() -> None:
    positives, negatives = scores()
    logits = torch.cat([positives[:, None], negatives], 1)
    expected = F.cross_entropy(logits, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(sampled_softmax(positives, negatives), expected)


def test_in_batch_softmax_by_a_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    given = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    items = torch.tensor([3, 8, 3, 1, 8])
    shares = {1: 0.1, 3: 0.5, 8: 0.4}
    losses = []
    for row in range(5):
        places = [c for c in range(5) if c == row or items[c] != items[row]]
        terms = {c: math.exp(given[row, c]) / shares[int(items[c])] for c in places}
        losses.append(-math.log(terms[row] / sum(terms.values())))
    logs = torch.tensor([math.log(shares[int(item)]) for item in items], dtype=torch.float64)
    assert in_batch_softmax(given, items, logs).item() == pytest.approx(np.mean(losses))


def test_equal_shares_correct_nothing() -> None:
    given = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    items = torch.arange(4)
    plain = in_batch_softmax(given, items, torch.zeros(4))
    torch.testing.assert_close(in_batch_softmax(given, items, torch.full((4,), -3.0)), plain)


def test_warp_by_hand() -> None:
    positives = torch.tensor([2.0, 2.0, 2.0])
    negatives = torch.tensor([[1.5, 5.0, 0.0], [0.0, 0.5, 1.25], [0.0, 0.5, 1.0]])
    # Of 7 items: violated at once, rank 6; at the third, rank 2; never (1.0 is no violation).
    expected = ((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5 + 1 / 6) * 0.5 + (1 + 1 / 2) * 0.25) / 3
    assert warp(positives, negatives, 7).item() == pytest.approx(expected)
