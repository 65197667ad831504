from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from automl_rec.plugin import LowRankMatrix, SumMatrix, Use, Weight, leaves
from automl_rec.training.adam import Adam
from automl_rec_rank.allocation import Size
from automl_rec_rank.sltrain import FactorsAndEntries, SlTrain


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def joined(
    scheme: SlTrain, rows: int = 30, columns: int = 20, seed: int = 0
) -> tuple[Weight, FactorsAndEntries]:
    weight = Weight("w", rows, columns, "linear", Use(1.0))
    weight.initialise(0.2, torch.Generator().manual_seed(seed))
    scheme.join({"w": weight})
    return weight, cast("FactorsAndEntries", weight.matrix)


def test_a_weight_starts_as_its_entries_at_places_that_the_seed_decides() -> None:
    _, first = joined(SlTrain(0.1, 0.05))
    _, again = joined(SlTrain(0.1, 0.05))
    _, other = joined(SlTrain(0.1, 0.05), seed=1)
    assert torch.equal(first.places, again.places)
    assert not torch.equal(first.places, other.places)
    assert len(first.places) == 30  # 5 % of 600
    assert (first.places.diff() > 0).all()
    whole = torch.zeros(600)
    whole[first.places] = first.values.detach()
    assert torch.equal(first.dense(), whole.reshape(30, 20))
    for drawn_once in (first.values, first.right):
        assert 0.15 < drawn_once.abs().max() <= 20**-0.5 < 0.23
        assert drawn_once.std() > 0.1


def test_places_are_spread_evenly() -> None:
    counts = torch.zeros(600)
    for seed in range(200):
        _, made = joined(SlTrain(0.1, 0.05), seed=seed)
        counts[made.places] += 1
    assert counts.sum() == 200 * 30
    assert counts.reshape(30, 20).sum(1).std() < 3 * 200**0.5  # 200 a row
    assert counts.max() < 30  # 10 a place


def test_the_product_is_scaled_and_entries_are_added() -> None:
    made = FactorsAndEntries(4, 3, 1, 2, 0.5)
    with torch.no_grad():
        made.left.copy_(torch.tensor([[2.0], [0.0], [0.0], [4.0]]))
        made.right.copy_(torch.tensor([[1.0], [0.0], [3.0]]))
        made.values.copy_(torch.tensor([10.0, 20.0]))
        made.places.copy_(torch.tensor([1, 11]))
    expected = [[1.0, 10.0, 3.0], [0.0] * 3, [0.0] * 3, [2.0, 0.0, 26.0]]
    assert made.dense().tolist() == expected


def test_slopes_of_entries_are_those_of_the_whole_weight_at_their_places() -> None:
    _, made = joined(SlTrain(0.1, 0.05))
    x, wanted = drawn(40, 20), drawn(40, 30, seed=1)
    mse_loss(made.multiply(x), wanted).backward()
    whole = made.dense().requires_grad_()
    mse_loss(x @ whole.T, wanted).backward()
    assert whole.grad is not None
    assert made.values.grad is not None
    assert made.left.grad is not None
    assert torch.allclose(made.values.grad, whole.grad.reshape(-1)[made.places], atol=1e-6)
    assert torch.allclose(made.left.grad, 0.25 * whole.grad @ made.right, atol=1e-6)


def test_with_every_place_it_is_the_dense_weight() -> None:
    made = FactorsAndEntries(6, 5, 1, 30, 0.25)
    with torch.no_grad():
        made.start(drawn(6, 5))
    assert made.places.tolist() == list(range(30))
    assert torch.equal(made.dense().reshape(-1), made.values.detach())


def test_places_stay_while_it_learns_and_all_is_served_at_its_price() -> None:
    scheme = SlTrain(0.1, 0.05, scale=1.0)
    weight, made = joined(scheme)
    (priced,) = scheme.price({"w": weight.price()}).values()
    places, x = made.places.clone(), drawn(64, 20)
    teacher = drawn(30, 1) @ drawn(1, 20, seed=1)
    adam, losses = Adam(weight.parameters(), 0.02), []
    for _ in range(150):
        loss = mse_loss(made.multiply(x), x @ teacher.T)
        adam.clear()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert torch.equal(made.places, places)
    judged = made.multiply(x).detach()
    weight.freeze()
    assert isinstance(weight.matrix, SumMatrix)
    assert isinstance(weight.matrix.first, LowRankMatrix)
    assert weight.matrix.form() == priced
    *_, sparse = leaves(weight.matrix)
    assert sparse.dense().reshape(-1).nonzero()[:, 0].tolist() == places.tolist()
    assert torch.allclose(weight.matrix.multiply(x), judged, atol=1e-4)


@pytest.mark.parametrize(("ratio", "density", "smaller"), [(0.2, 0.1, True), (0.5, 0.2, False)])
def test_what_would_be_no_smaller_is_not_made(ratio: float, density: float, smaller: bool) -> None:  # noqa: FBT001 - of pytest
    found = SlTrain(ratio, density).served(Size(30, 20))
    assert (found is not None) == smaller
    if found is not None:
        # Rank 4 of 50 numbers each, and 60 entries with a bit for each of 600 places or a column.
        assert found.bytes.low == found.bytes.high == 4 * 200 + 60 * 4 + 75
