from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import mse_loss

from automl_rec.plugin import LowRankMatrix, Step, Use, Weight
from automl_rec.training.adam import Adam
from automl_rec_rank.condlr import ConditionedFactors, CondLr, conditioned


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def joined(scheme: CondLr, rows: int = 20, columns: int = 12) -> tuple[Weight, ConditionedFactors]:
    weight = Weight("w", rows, columns, "linear", Use(1.0))
    weight.assign(drawn(rows, columns))
    scheme.join({"w": weight})
    return weight, cast("ConditionedFactors", weight.matrix)


def condition_of(factors: ConditionedFactors) -> float:
    values = torch.linalg.svdvals(factors.core.detach().double())
    return float(values[0] / values[-1])


@given(st.integers(1, 6), st.floats(1.1, 10.0), st.integers(0, 20))
def test_a_core_keeps_to_its_condition_or_stays(size: int, condition: float, seed: int) -> None:
    core = drawn(size, size, seed=seed).double()
    values = torch.linalg.svdvals(core)
    found = conditioned(core, condition)
    after = torch.linalg.svdvals(found)
    assert after[0] <= condition * after[-1] * (1 + 1e-6)
    if values[0] <= condition * values[-1]:
        assert torch.equal(found, core)


def test_conditions_by_hand() -> None:
    core = torch.diag(torch.tensor([6.0, 2.0, 1.0]))  # mean 3; of a condition of 3, [1.5, 4.5]
    assert torch.allclose(conditioned(core, 3.0), torch.diag(torch.tensor([4.5, 2.0, 1.5])))
    assert torch.equal(conditioned(core, 6.0), core)
    assert torch.equal(conditioned(core, 1e9), core)
    flat = drawn(3, 3)
    equal = conditioned(flat, 1.0)
    length = flat.square().sum() / 3
    assert torch.allclose(equal.T @ equal, length * torch.eye(3), atol=1e-5)
    assert (equal - flat).norm() <= (length.sqrt() * torch.eye(3) - flat).norm(), (
        "it is the nearest"
    )


def test_straightening_changes_no_product_that_is_within_bounds() -> None:
    _, factors = joined(CondLr(0.25, "bounded", 1e9))
    before = factors.effective().detach().clone()
    with torch.no_grad():
        factors.left.mul_(torch.tensor([-1.0, 3.0, 0.5]))
        factors.core.div_(torch.tensor([[-1.0], [3.0], [0.5]]))
        factors.straighten()
    assert torch.allclose(factors.effective(), before, atol=1e-4)
    for basis in (factors.left, factors.right):
        assert torch.allclose(basis.T @ basis, torch.eye(3), atol=1e-5)


@pytest.mark.parametrize(
    ("scheme", "bound"), [(CondLr(0.25, "bounded", 1.5), 1.5), (CondLr(0.25, "equal"), 1.0)]
)
def test_the_condition_is_kept_after_every_step_and_served(scheme: CondLr, bound: float) -> None:
    weight, factors = joined(scheme)
    (priced,) = scheme.price({"w": weight.price()}).values()
    assert condition_of(factors) <= bound * (1 + 1e-6)
    adam, x, wanted = Adam(weight.parameters(), 0.05), drawn(40, 12, seed=1), drawn(40, 20, seed=2)
    first = mse_loss(factors.multiply(x), wanted).item()
    for number in range(1, 31):
        loss = mse_loss(factors.multiply(x), wanted)
        adam.clear()
        loss.backward()
        adam.step()
        scheme.after_step(Step(number, 30, 0.05, lambda: torch.zeros(())))
        assert condition_of(factors) <= bound * (1 + 1e-6)
    assert loss.item() < 0.8 * first
    whole = torch.linalg.svdvals(factors.effective().detach())[:3]
    assert whole[0] <= bound * whole[-1] * (1 + 1e-4), "the product has the condition of the core"
    judged = factors.multiply(x).detach()
    weight.freeze()
    assert isinstance(weight.matrix, LowRankMatrix)
    assert weight.matrix.form() == priced
    assert torch.allclose(weight.matrix.multiply(x), judged, atol=1e-5)


def test_a_bound_that_nothing_reaches_starts_as_the_nearest_matrix() -> None:
    _, factors = joined(CondLr(0.25, "bounded", 1e9))
    inner, values, outer = torch.linalg.svd(drawn(20, 12), full_matrices=False)
    assert torch.allclose(factors.effective(), inner[:, :3] * values[:3] @ outer[:3], atol=1e-4)
