from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from automl_rec.plugin import LowRankMatrix, Phase, Step, Use, Weight
from automl_rec_rank.dlrt import Dlrt, TurningFactors
from automl_rec_rank.dynamics import Decomposition, narrowed, widened


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def joined(scheme: Dlrt, rows: int = 12, columns: int = 10) -> tuple[Weight, TurningFactors]:
    weight = Weight("w", rows, columns, "linear", Use(1.0))
    weight.initialise(0.3, torch.Generator().manual_seed(rows))
    scheme.join({"w": weight})
    scheme.begin(Phase("train"), torch.Generator())
    return weight, cast("TurningFactors", weight.matrix)


def turn(
    scheme: Dlrt, loss: Callable[[], Tensor], number: int = 1, total: int = 100, rate: float = 0.05
) -> None:
    """One step of the loop: a backward pass, then what the scheme makes of it."""
    loss().backward()
    scheme.after_backward(Step(number, total, rate, loss, per_epoch=10))
    for parameter in scheme.owned():
        parameter.grad = None


def as_decomposed(factors: TurningFactors) -> Decomposition:
    r = factors.rank
    core = torch.diag(factors.values[:r])
    return Decomposition(factors.left[:, :r].clone(), core, factors.right[:, :r].clone())


def test_a_weight_starts_as_its_nearest_matrix_of_the_rank() -> None:
    weight = Weight("w", 12, 10, "linear", Use(1.0))
    weight.initialise(0.3, torch.Generator().manual_seed(12))
    inner, values, outer = torch.linalg.svd(weight.matrix.dense(), full_matrices=False)
    Dlrt(0.1, start=0.3).join({"w": weight})
    factors = cast("TurningFactors", weight.matrix)
    assert factors.rank == 3
    nearest = inner[:, :3] * values[:3] @ outer[:3]
    assert torch.allclose(factors.effective(), nearest, atol=1e-5)
    assert torch.allclose(factors.eval().effective(), nearest, atol=1e-5)
    for basis in (factors.left[:, :3], factors.right[:, :3]):
        assert torch.allclose(basis.T @ basis, torch.eye(3), atol=1e-5)


def test_one_pass_gives_the_slopes_by_both_factors() -> None:
    _, factors = joined(Dlrt(0.1))
    now, x = as_decomposed(factors), drawn(30, 10)
    slope = 2 * (factors.multiply(x).detach() - 1.0).T @ x
    (factors.multiply(x) - 1.0).square().sum().backward()
    r = factors.rank
    assert factors.moved.grad is not None
    assert factors.turned.grad is not None
    assert torch.allclose(factors.moved.grad[:, :r], slope @ now.right, atol=1e-3)
    assert torch.allclose(factors.turned.grad[:, :r], slope.T @ now.left, atol=1e-3)


def test_a_step_is_that_of_the_algorithm_at_the_rate_over_the_slopes() -> None:
    scheme = Dlrt(0.1, warm_up=0.0)
    _, factors = joined(scheme)
    now, x = as_decomposed(factors), drawn(30, 10)

    def loss() -> Tensor:
        return (factors.multiply(x) - 1.0).square().sum()

    slope = 2 * (factors.multiply(x).detach() - 1.0).T @ x
    both = slope @ now.right, slope.T @ now.left
    rate = 0.05 / torch.cat([part.reshape(-1) for part in both]).square().mean().sqrt()
    wide = widened(now, both, float(rate))
    core = wide.core - rate * wide.left.T @ slope @ wide.right
    expected = narrowed(wide._replace(core=core), 2, len(factors.values), 0.1)
    turn(scheme, loss)
    assert torch.allclose(
        factors.effective(), expected.left @ expected.core @ expected.right.T, atol=1e-4
    )
    assert factors.rank == expected.core.shape[0]
    assert not factors.turned.any()
    assert not factors.moved[:, factors.rank :].any()


def test_what_learns_is_owned_and_two_passes_are_all_it_takes() -> None:
    scheme, passes = Dlrt(0.1), 0
    weight, factors = joined(scheme)
    x = drawn(30, 10)

    def loss() -> Tensor:
        nonlocal passes
        passes += 1
        return factors.multiply(x).square().sum()

    assert {id(part) for part in scheme.owned()} == {id(part) for part in weight.parameters()}
    turn(scheme, loss)
    assert passes == 2


@pytest.mark.parametrize(("number", "rank"), [(10, 5), (11, 2)])
def test_the_rank_stays_until_the_first_epochs_are_over(number: int, rank: int) -> None:
    scheme = Dlrt(0.3, start=0.5, warm_up=1.0)
    _, factors = joined(scheme, 20, 10)
    x, target = drawn(200, 10), drawn(20, 1) @ drawn(1, 10, seed=1)
    with torch.no_grad():
        factors.assign(target)
    turn(scheme, lambda: mse_loss(factors.multiply(x), x @ target.T + 1.0), number, rate=1e-3)
    assert factors.rank == rank


def test_the_rank_of_a_teacher_is_found_and_served_within_its_price() -> None:
    scheme = Dlrt(0.02, start=0.2, warm_up=0.0)
    weight, factors = joined(scheme, 20, 16)
    (bounds,) = scheme.price({"w": weight.price()}).values()
    teacher = drawn(20, 4, seed=2) @ drawn(4, 16, seed=3) / 4
    generator = torch.Generator().manual_seed(0)
    for number in range(1, 301):
        x = torch.randn(128, 16, generator=generator)

        def loss(x: Tensor = x) -> Tensor:
            return mse_loss(factors.multiply(x), x @ teacher.T)

        turn(scheme, loss, number, 300, rate=0.05 if number < 200 else 0.005)
    assert factors.rank == 4
    assert (factors.effective() - teacher).norm() < 0.05 * teacher.norm()
    x = drawn(3, 16)
    judged = factors.eval().multiply(x).detach()
    weight.freeze()
    assert isinstance(weight.matrix, LowRankMatrix)
    assert torch.allclose(weight.matrix.multiply(x), judged, atol=1e-6)
    form = weight.matrix.form()
    assert bounds.bytes.low <= form.bytes.low == 4 * 4 * 36 <= bounds.bytes.high


def test_a_phase_from_the_initial_weights_starts_at_them() -> None:
    scheme = Dlrt(0.1)
    _, factors = joined(scheme)
    before, x = {n: t.clone() for n, t in factors.state_dict().items()}, drawn(30, 10)
    for _ in range(3):
        turn(scheme, lambda: (factors.multiply(x) - 1.0).square().sum())
    changed = factors.effective().detach().clone()
    scheme.begin(Phase("next"), torch.Generator())
    assert torch.equal(factors.effective(), changed)
    scheme.begin(Phase("again", start="initial"), torch.Generator())
    assert all(torch.equal(t, before[n]) for n, t in factors.state_dict().items())


def test_a_weight_without_a_slope_stays() -> None:
    scheme = Dlrt(0.0)
    _, factors = joined(scheme)
    before, other = factors.effective().detach().clone(), torch.ones((), requires_grad=True)
    turn(scheme, lambda: other * 2.0)
    assert torch.allclose(factors.effective(), before, atol=1e-5)
