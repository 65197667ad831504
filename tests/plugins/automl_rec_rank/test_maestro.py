from collections import Counter
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from automl_rec.plugin import DenseMatrix, LowRankMatrix, Phase, Step, Use, Weight
from automl_rec.training.adam import Adam
from automl_rec_rank.maestro import Maestro, OrderedFactors, tails

ZERO = torch.zeros(())


def weight_of(rows: int, columns: int, name: str = "w", std: float = 0.3) -> Weight:
    made = Weight(name, rows, columns, "linear", Use(1.0))
    made.initialise(std, torch.Generator().manual_seed(rows))
    return made


def joined(scheme: Maestro, weight: Weight) -> OrderedFactors:
    scheme.join({"w": weight})
    return cast("OrderedFactors", weight.matrix)


def step(number: int) -> Step:
    return Step(number, 1000, 0.01, lambda: ZERO)


def test_factors_start_as_the_weight() -> None:
    weight = weight_of(9, 6)
    whole = weight.matrix.dense().clone()
    factors = joined(Maestro("importance", 0.0), weight)
    assert torch.allclose(factors.effective(), whole, atol=1e-6)
    assert factors.rank == 6
    with torch.no_grad():
        factors.assign(2 * whole)
    assert torch.allclose(factors.effective(), 2 * whole, atol=1e-6)


def test_on_the_meta_device_shapes_are_made_alone() -> None:
    with torch.device("meta"):
        weight = weight_of(9, 6)
        factors = joined(Maestro("importance", 0.0), weight)
    assert factors.left.is_meta
    assert factors.left.shape == (9, 6)


def test_lengths_of_tails_by_hand() -> None:
    factor = torch.tensor([[3.0, 0.0, 1.0], [4.0, 2.0, 2.0]])
    assert torch.allclose(tails(factor), torch.tensor([34.0, 9.0, 5.0]).sqrt())
    empty = torch.zeros(4, 3, requires_grad=True)
    tails(empty).sum().backward()
    assert empty.grad is not None
    assert empty.grad.isfinite().all()


def test_the_lasso_is_added_to_the_loss() -> None:
    weight = weight_of(9, 6)
    scheme = Maestro("importance", 0.5)
    factors = joined(scheme, weight)
    lasso = tails(factors.left).sum() + tails(factors.right).sum()
    assert torch.allclose(scheme.loss(lambda: torch.tensor(2.0)), 2.0 + 0.5 * lasso)
    both = Maestro("importance", 0.0, all_ranks=True)
    joined(both, weight_of(9, 6))
    assert both.loss(lambda: torch.tensor(2.0)) == 4.0


def test_each_step_one_weight_acts_at_a_rank_drawn_among_all() -> None:
    made = {"a": weight_of(9, 4, "a"), "b": weight_of(5, 7, "b")}
    scheme = Maestro("importance", 0.0)
    scheme.join(made)
    parts = [cast("OrderedFactors", weight.matrix) for weight in made.values()]
    parts[1].keep(2)
    seen: Counter[tuple[int, int]] = Counter()

    def own() -> Tensor:
        seen[parts[0].rank, parts[1].rank] += 1
        return ZERO

    torch.manual_seed(0)
    for _ in range(3000):
        scheme.loss(own)
        assert [part.rank for part in parts] == [4, 2]
    # 6 pairs of weight and rank, two of which are all ranks of both.
    assert set(seen) == {(1, 2), (2, 2), (3, 2), (4, 2), (4, 1)}
    assert all(430 < seen[pair] < 570 for pair in seen if pair != (4, 2))


def test_half_of_the_steps_act_at_the_ranks_of_a_ratio() -> None:
    made = {"a": weight_of(20, 10, "a"), "b": weight_of(9, 20, "b")}
    scheme = Maestro("ratio", 0.0, ratio=0.3)
    scheme.join(made)
    parts = [cast("OrderedFactors", weight.matrix) for weight in made.values()]
    seen: Counter[tuple[int, int]] = Counter()

    def own() -> Tensor:
        seen[parts[0].rank, parts[1].rank] += 1
        return ZERO

    torch.manual_seed(0)
    for _ in range(1000):
        scheme.loss(own)
    assert 430 < seen[3, 3] < 570
    assert all(10 in pair or 9 in pair for pair in seen if pair != (3, 3))


def test_ranks_of_little_importance_are_left_out_by_hand() -> None:
    factors = OrderedFactors(3, 3, None)
    with torch.no_grad():
        factors.left.copy_(torch.diag(torch.tensor([4.0, 0.3, 0.0])))
        factors.right.copy_(torch.eye(3))
    # Tails 4.01, 0.3, 0 and 1.73, 1.41, 1: importances 6.95, 0.42, 0.
    factors.leave_out(0.05)
    assert int(factors.kept) == 2
    factors.leave_out(0.5)
    assert int(factors.kept) == 1
    assert factors.rank == 1
    served = OrderedFactors(3, 3, 2)
    with torch.no_grad():
        served.left.copy_(factors.left)
        served.right.copy_(factors.right)
    served.leave_out(0.5)
    assert int(served.kept) == 2, "what is served is not left out"


def test_importances_never_rise_and_are_looked_at_every_so_many_steps() -> None:
    weight = weight_of(9, 6)
    scheme = Maestro("importance", 0.0, threshold=0.1, every=10)
    factors = joined(scheme, weight)
    assert (factors.importances().diff() <= 0).all()
    with torch.no_grad():
        factors.left[:, 3:] = 1e-4
    scheme.after_step(step(9))
    assert int(factors.kept) == 6
    scheme.after_step(step(10))
    assert int(factors.kept) == 3
    scheme.begin(Phase("again", start="best"), torch.Generator())
    assert int(factors.kept) == 3
    scheme.begin(Phase("from the start", start="initial"), torch.Generator())
    assert int(factors.kept) == 6


@pytest.mark.parametrize(("ratio", "rank"), [(0.1, 1), (0.5, 5)])
def test_a_slice_is_judged_priced_and_served_as_a_model_of_its_ranks(
    ratio: float, rank: int
) -> None:
    weight, x = weight_of(30, 10), torch.randn(4, 10, generator=torch.Generator().manual_seed(2))
    scheme = Maestro("ratio", 0.0, ratio=ratio)
    factors = joined(scheme, weight)
    (priced,) = scheme.price({"w": weight.price()}).values()
    assert factors.train().rank == 10
    assert factors.eval().rank == rank
    judged = factors.multiply(x).detach()
    weight.freeze()
    scheme.compress({"w": weight})
    assert isinstance(weight.matrix, LowRankMatrix)
    assert weight.matrix.form() == priced
    assert torch.equal(weight.matrix.multiply(x), judged)
    left, right = factors.left[:, :rank], factors.right[:, :rank]
    assert torch.allclose(judged, x @ (left @ right.T).T, atol=1e-5)


@pytest.mark.parametrize("kept", [7, 8])
def test_kept_ranks_are_multiplied_out_where_factors_are_no_smaller(kept: int) -> None:
    weight = weight_of(30, 10)
    factors = joined(Maestro("importance", 0.0), weight)
    factors.keep(kept)  # 300 numbers, 40 a rank
    weight.eval()
    whole = factors.dense()
    weight.freeze()
    assert isinstance(weight.matrix, LowRankMatrix if kept == 7 else DenseMatrix)
    assert torch.allclose(weight.matrix.dense(), whole, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("lasso", [0.0, 1e-4])
def test_slices_of_a_linear_teacher_err_as_its_truncated_decompositions(lasso: float) -> None:
    generator = torch.Generator().manual_seed(1)
    bases = [torch.linalg.qr(torch.randn(n, 4, generator=generator)).Q for n in (9, 6)]
    teacher = bases[0] * torch.tensor([4.0, 3.0, 2.0, 1.0]) @ bases[1].T
    weight, scheme = weight_of(9, 6), Maestro("importance", lasso, every=100)
    factors = joined(scheme, weight)
    torch.manual_seed(0)
    number = 0
    for rate, steps in ((0.01, 1500), (0.001, 1000)):
        adam = Adam(weight.parameters(), rate)
        for _ in range(steps):
            x = torch.randn(256, 6, generator=generator)

            def own(x: Tensor = x) -> Tensor:
                return mse_loss(factors.multiply(x), x @ teacher.T)

            loss = scheme.loss(own)
            adam.clear()
            loss.backward()
            adam.step()
            number += 1
            scheme.after_step(step(number))
    assert int(factors.kept) == 4, "ranks that the teacher does not have are left out"
    left, right = factors.left.detach(), factors.right.detach()
    errors = [float((left[:, :k] @ right[:, :k].T - teacher).norm()) for k in (1, 2, 3)]
    assert errors == pytest.approx([14**0.5, 5**0.5, 1.0], rel=0.02)
