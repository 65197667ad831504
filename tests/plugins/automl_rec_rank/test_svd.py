from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.plugin import (
    DenseMatrix,
    Infeasible,
    LowRankMatrix,
    TrainableMatrix,
    Use,
    Weight,
    dense_form,
)
from automl_rec_rank.factors import LateFactors
from automl_rec_rank.spectrum import Spectrum, leading_factors
from automl_rec_rank.svd import Svd

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


@given(shapes, st.floats(0, 1), st.integers(0, 100))
def test_the_error_of_a_rank_is_that_of_the_singular_values_left_out(
    shape: tuple[int, int], share: float, seed: int
) -> None:
    whole = matrix(*shape, seed)
    rank = max(round(share * min(shape)), 1)
    left, right = Spectrum.of(whole).factors(rank)
    error = (whole - left @ right.T).numpy()
    tail = np.linalg.svd(whole.numpy(), compute_uv=False)[rank:]
    assert np.linalg.norm(error) == pytest.approx(np.sqrt((tail**2).sum()), abs=1e-10)
    assert np.linalg.norm(error, 2) == pytest.approx(tail[0] if len(tail) else 0.0, abs=1e-10)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_factors_are_balanced(shape: tuple[int, int]) -> None:
    left, right = Spectrum.of(matrix(*shape)).factors(5)
    assert left.shape == (shape[0], 5)
    assert right.shape == (shape[1], 5)
    singular = torch.linalg.svdvals(matrix(*shape))[:5]
    assert torch.allclose(left.T @ left, torch.diag(singular), atol=1e-10)
    assert torch.allclose(right.T @ right, torch.diag(singular), atol=1e-10)


def test_singular_values_of_zero_do_no_harm() -> None:
    left, right = Spectrum.of(torch.zeros(6, 4)).factors(2)
    assert not (left @ right.T).any()
    flat = torch.ones(6, 4)
    left, right = Spectrum.of(flat).factors(3)
    assert torch.allclose(left @ right.T, flat, atol=1e-6)


def weight(rows: int, columns: int, *, zero_diagonal: bool = False, scale: float = 1.0) -> Weight:
    made = Weight("w", rows, columns, "linear", Use(1.0), zero_diagonal=zero_diagonal)
    made.assign(scale * matrix(rows, columns).float())
    made.freeze()
    return made


@pytest.mark.parametrize(("rows", "columns"), [(60, 20), (20, 60), (40, 40)])
def test_uniform_ranks_are_priced_exactly(rows: int, columns: int) -> None:
    for ratio in (0.01, 0.1, 0.4, 0.6, 1.0):
        made, rank = weight(rows, columns), Svd("uniform", ratio=ratio)
        priced = rank.price({"w": made.price()})["w"]
        rank.compress({"w": made})
        assert made.matrix.form() == priced
        expected = max(round(ratio * 20), 1) if min(rows, columns) == 20 else round(ratio * 40)
        if isinstance(made.matrix, LowRankMatrix):
            assert made.matrix.rank == max(expected, 1)


def test_a_rank_that_does_not_pay_leaves_the_weight_bit_for_bit() -> None:
    made, plain = weight(60, 20), weight(60, 20)
    Svd("uniform", ratio=0.75).compress({"w": made})  # 15 * 80 = 60 * 20
    assert isinstance(made.matrix, DenseMatrix)
    assert torch.equal(made.matrix.dense(), plain.matrix.dense())
    Svd("uniform", ratio=0.7).compress({"w": made})
    assert isinstance(made.matrix, LowRankMatrix)


@pytest.mark.parametrize("energy", [0.3, 0.8, 0.95, 0.999])
def test_an_energy_is_held_within_its_price_or_the_weight_stays_whole(energy: float) -> None:
    made, rank = weight(60, 20), Svd("energy", energy=energy)
    whole = made.matrix.dense()
    bounds = rank.price({"w": made.price()})["w"]
    rank.compress({"w": made})
    form = made.matrix.form()
    assert bounds.bytes.low <= form.bytes.low <= bounds.bytes.high
    operations, bound = form.product_operations, bounds.product_operations
    assert bound.low <= operations.low <= bound.high
    error = (made.matrix.dense() - whole).square().sum() / whole.square().sum()
    assert error <= 1 - energy + 1e-6
    assert isinstance(made.matrix, LowRankMatrix) == (energy < 0.95)


def test_of_an_item_item_weight_the_diagonal_stays_zero() -> None:
    made = weight(20, 20, zero_diagonal=True)
    Svd("uniform", ratio=0.2).compress({"w": made})
    assert isinstance(made.matrix, LowRankMatrix)
    assert not made.matrix.dense().diagonal().any()
    assert (made.matrix.left.dense() * made.matrix.right.dense()).sum(1).any()


def test_a_single_row_cannot_be_factored() -> None:
    made = weight(1, 30)
    for rank in (Svd("uniform", ratio=1.0), Svd("energy", energy=0.3)):
        assert rank.price({"w": made.price()})["w"] == made.matrix.form()
        rank.compress({"w": made})
        assert isinstance(made.matrix, DenseMatrix)


def test_chunks_of_rows_add_up_to_the_whole() -> None:
    tall = matrix(70_000, 4).float()
    left, right = Spectrum.of(tall).factors(4)
    assert torch.allclose(left @ right.T, tall, atol=1e-4)


def test_projection_finds_nearly_the_nearest_matrix_of_low_rank() -> None:
    generator = torch.Generator().manual_seed(5)
    left, right = (torch.randn(n, 40, generator=generator) for n in (300, 200))
    noise = torch.randn(300, 200, generator=generator)
    matrix = (left / torch.arange(1, 41)) @ right.T + 0.05 * noise
    for whole in (matrix, matrix.T):
        found, nearest = (a @ b.T for a, b in (leading_factors(whole, 12), _nearest(whole, 12)))
        assert (whole - found).norm() <= 1.01 * (whole - nearest).norm()
    first, second = leading_factors(matrix, 12)
    assert torch.equal(first, leading_factors(matrix, 12)[0])
    torch.testing.assert_close(first.norm(dim=0), second.norm(dim=0), rtol=0.02, atol=0.0)


def _nearest(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] * values[:rank], right[:rank].T


def test_low_ranks_of_large_weights_are_priced_exactly_too() -> None:
    scheme = Svd(allocation="uniform", ratio=0.05)
    weight = Weight("w", 1200, 1100, "linear", Use(1.0))
    weight.initialise(1.0, torch.Generator().manual_seed(0))
    priced = scheme.price({"w": weight.price()})["w"]
    weight.freeze()
    scheme.compress({"w": weight})
    assert isinstance(weight.matrix, LowRankMatrix)
    assert weight.matrix.rank == 55
    assert priced.bytes == weight.matrix.form().bytes


def test_the_energy_of_a_huge_weight_is_refused_before_it_costs() -> None:
    with pytest.raises(Infeasible, match=r"whole spectrum of a weight of 9,000 x 5,000"):
        Svd(allocation="energy", energy=0.9).price({"w": dense_form(9000, 5000)})
    assert Svd(allocation="energy", energy=0.9).price({"w": dense_form(10**6, 64)})


def test_of_a_weight_that_is_served_in_part_the_part_is_factored() -> None:
    weight = Weight("w", 40, 32, "table", Use())
    weight.assign(matrix(40, 32).float())
    weight.corner = (40, 16)
    svd = Svd("uniform", ratio=0.25)
    (priced,) = svd.price({"w": weight.price()}).values()
    weight.freeze()
    svd.compress({"w": weight})
    assert weight.matrix.form() == priced
    assert priced.bytes.low == 4 * (40 + 16) * 4  # rank 4 of the 16 columns that are served
    left, right = Spectrum.of(matrix(40, 32)[:, :16].float()).factors(4)
    assert torch.allclose(weight.matrix.dense()[:, :16], left @ right.T, atol=1e-5)
    assert not weight.matrix.dense()[:, 16:].any()


@pytest.mark.parametrize("allocation", ["global", "welore"])
def test_a_budget_is_kept_within_its_price_and_hardly_left(
    allocation: Literal["global", "welore"],
) -> None:
    shapes = {"a": (60, 20), "b": (30, 40), "c": (50, 50), "d": (1, 30)}
    for budget in (0.3, 0.5, 0.8):
        made = {name: weight(*shape) for name, shape in shapes.items()}
        rank = Svd(allocation, budget=budget)
        bounds = rank.price({name: w.price() for name, w in made.items()})
        rank.compress(made)
        forms = {name: w.matrix.form() for name, w in made.items()}
        for name, form in forms.items():
            assert bounds[name].bytes.low <= form.bytes.low <= bounds[name].bytes.high, name
        limit = budget * (60 * 20 + 30 * 40 + 50 * 50)  # d cannot be factored
        spent = sum(form.bytes.low for form in forms.values()) / 4 - 30
        assert limit - 100 <= spent <= limit  # 100 numbers: the largest step, one rank of c


def test_a_budget_of_one_weight_is_priced_exactly() -> None:
    for budget in (0.1, 0.4, 0.79, 1.0):
        made, rank = weight(60, 20), Svd("global", budget=budget)
        (bounds,) = rank.price({"w": made.price()}).values()
        rank.compress({"w": made})
        assert made.matrix.form() == bounds, budget


def test_of_equal_budgets_the_energies_of_all_weights_lose_least() -> None:
    errors = []
    for scheme in (Svd("uniform", ratio=0.25), Svd("global", budget=1 / 3)):
        made = {"loud": weight(60, 20, scale=10.0), "quiet": weight(60, 20)}
        whole = {name: w.matrix.dense().clone() for name, w in made.items()}
        scheme.compress(made)
        numbers = sum(w.matrix.form().bytes.low for w in made.values()) / 4
        assert numbers <= 2 * 5 * 80
        parts = ((w.matrix.dense() - whole[name]).square().sum() for name, w in made.items())
        errors.append(float(sum(parts)))
    assert errors[1] < errors[0]


def test_a_block_triangle_is_factored_as_it_is_served() -> None:
    made = Weight("w", 16, 16, "linear", Use(1.0))
    made.assign(matrix(16, 16).float())
    mask = torch.ones(16, 16)
    mask[:8, 8:] = 0.0
    assert isinstance(made.matrix, TrainableMatrix)
    made.matrix.mask = mask
    made.freeze()
    Svd("uniform", ratio=0.25).compress({"w": made})
    left, right = Spectrum.of(matrix(16, 16).float() * mask).factors(4)
    assert torch.allclose(made.matrix.dense(), left @ right.T, atol=1e-5)


@pytest.mark.parametrize(
    "setting", [{"allocation": "energy", "energy": 0.95}, {"allocation": "global", "budget": 0.7}]
)
def test_a_weight_at_its_identity_start_is_left_whole_or_loses_what_it_must(
    setting: dict[str, Any],
) -> None:
    made = Weight("w", 20, 20, "linear", Use(1.0))
    made.assign(torch.eye(20))
    made.freeze()
    Svd(**setting).compress({"w": made})
    if setting["allocation"] == "energy":
        assert isinstance(made.matrix, DenseMatrix)
    else:
        assert isinstance(made.matrix, LowRankMatrix)
        assert float((made.matrix.dense() - torch.eye(20)).square().sum()) == pytest.approx(13)


def test_the_last_share_of_a_training_may_train_the_factors() -> None:
    scheme = Svd("uniform", ratio=0.25, tune=0.3)
    assert [(phase.name, phase.share) for phase in scheme.phases] == [
        ("whole", 0.7),
        ("factors", 0.3),
    ]
    made = {
        "w": Weight("w", 60, 20, "linear", Use(1.0)),
        "row": Weight("row", 1, 9, "linear", Use()),
    }
    made["w"].assign(matrix(60, 20).float())
    (priced, _) = scheme.price({name: weight.price() for name, weight in made.items()}).values()
    scheme.join(made)
    assert isinstance(made["row"].matrix, TrainableMatrix), "it cannot be factored"
    late = made["w"].matrix
    assert isinstance(late, LateFactors)
    with torch.no_grad():
        scheme.begin(scheme.phases[0], torch.Generator())
        late.assign(3 * matrix(60, 20).float())
        assert torch.equal(late.dense(), 3 * matrix(60, 20).float())
        scheme.begin(scheme.phases[1], torch.Generator())
        left, right = Spectrum.of(3 * matrix(60, 20).float()).factors(5)
        assert torch.allclose(late.effective(), left @ right.T, atol=1e-4)
        late.factors.left.mul_(2.0)
    x, ids, indptr = matrix(4, 20).float(), torch.tensor([3, 3, 9]), torch.tensor([0, 1, 3])
    late.multiply(x).sum().backward()
    assert late.whole.weight.grad is None
    assert late.factors.left.grad is not None
    whole = late.dense()
    assert torch.allclose(late.multiply(x), x @ whole.T, atol=1e-3)
    assert torch.allclose(late.gather(ids), whole[ids], atol=1e-4)
    assert torch.allclose(late.bag(indptr, ids)[1], whole[3] + whole[9], atol=1e-4)
    assert torch.allclose(
        late.project(matrix(4, 60).float()), matrix(4, 60).float() @ whole, atol=1e-3
    )
    assert late.form() == priced
    for weight in made.values():
        weight.freeze()
    scheme.compress(made)
    assert made["w"].matrix.form() == priced
    assert torch.allclose(made["w"].matrix.dense(), 2 * left @ right.T, atol=1e-3)


def test_what_was_not_tuned_yet_is_factored_in_the_end() -> None:
    scheme = Svd("uniform", ratio=0.25, tune=0.3)
    made = {"w": Weight("w", 60, 20, "linear", Use(1.0))}
    made["w"].assign(matrix(60, 20).float())
    scheme.join(made)
    made["w"].freeze()
    scheme.compress(made)
    assert made["w"].matrix.form() == scheme.price({"w": made["w"].price()})["w"]


def test_without_a_share_to_tune_nothing_acts_in_training() -> None:
    assert not Svd("uniform").acts_in_training
    assert Svd("uniform").phases == ()
