from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from automl_rec.plugin import (
    DenseMatrix,
    Infeasible,
    Linear,
    LowRankMatrix,
    Role,
    Use,
    WatchedMatrix,
    Weight,
    dense_form,
)
from automl_rec_rank.afm import Afm
from automl_rec_rank.components import Components
from automl_rec_rank.factoring import balanced
from automl_rec_rank.spectrum import Spectrum
from automl_rec_rank.watching import Moments


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def skewed(rows: int, columns: int, seed: int = 0) -> Tensor:
    """Vectors that vary more in some directions than in others, about a mean that is not 0."""
    return drawn(rows, columns, seed=seed) * torch.logspace(1, -1, columns).double() + 2.0


def moments_of(vectors: Tensor) -> Moments:
    moments = Moments()
    moments.add(vectors)
    return moments


@given(st.integers(2, 40), st.integers(1, 6), st.integers(1, 5))
def test_moments_of_batches_are_those_of_all(rows: int, columns: int, batches: int) -> None:
    vectors = skewed(rows, columns)
    moments = Moments()
    for part in vectors.tensor_split(batches):
        moments.add(part.reshape(1, -1, columns))
    covariance = np.cov(vectors.numpy().T, bias=True).reshape(columns, columns)
    assert moments.count == rows
    np.testing.assert_allclose(moments.mean, vectors.mean(0), atol=1e-10)
    np.testing.assert_allclose(moments.second(about_mean=True), covariance, atol=1e-9)
    about_0 = (vectors.T @ vectors) / rows
    np.testing.assert_allclose(moments.second(about_mean=False), about_0, atol=1e-9)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20)])
@pytest.mark.parametrize("rank", [1, 8, 15])
def test_the_error_of_products_is_the_sum_of_the_eigenvalues_left_out(
    shape: tuple[int, int], rank: int
) -> None:
    whole, inputs = drawn(*shape), skewed(400, shape[1], seed=1)
    products = inputs @ whole.T
    found = Components.of(whole, moments_of(products), about_mean=True, products=True)
    left, right = found.factors(rank)
    near = inputs @ (left @ right.T).T + found.left_of_mean(rank)
    error = (products - near).square().sum(1).mean()
    assert error == pytest.approx(float(found.energies[rank:].sum()), rel=1e-8)
    left, right = Spectrum.of(whole).factors(rank)
    of_weight = products - inputs @ (left @ right.T).T
    assert error <= of_weight.square().sum(1).mean()


@pytest.mark.parametrize("rank", [1, 5, 8])
def test_the_error_of_rows_counts_how_often_they_are_looked_up(rank: int) -> None:
    table = drawn(50, 8) + 0.5
    ids = torch.randint(0, 50, (300,), generator=torch.Generator().manual_seed(3)) ** 2 // 50
    found = Components.of(table, moments_of(table[ids]), about_mean=False, products=False)
    left, right = found.factors(rank)
    error = (table[ids] - left[ids] @ right.T).square().sum(1).mean()
    assert error == pytest.approx(float(found.energies[rank:].sum()), rel=1e-8, abs=1e-10)
    left, right = Spectrum.of(table).factors(rank)
    assert error <= (table[ids] - left[ids] @ right.T).square().sum(1).mean() + 1e-10


def test_a_full_rank_changes_nothing() -> None:
    whole = drawn(6, 10)
    found = Components.of(whole, moments_of(drawn(50, 6)), about_mean=True, products=True)
    left, right = found.factors(6)
    assert torch.allclose(left @ right.T, whole, atol=1e-12)
    assert torch.allclose(found.left_of_mean(6), torch.zeros(6).double(), atol=1e-12)


def test_factors_are_balanced() -> None:
    left, right = balanced(drawn(30, 4) * torch.tensor([1.0, 10.0, 0.0, 3.0]), drawn(20, 4))
    assert torch.allclose(left.norm(dim=0)[[0, 1, 3]], right.norm(dim=0)[[0, 1, 3]])
    assert left.isfinite().all()
    assert right.isfinite().all()


def linear_of(rows: int, columns: int, *, bias: bool = True) -> Linear:
    linear = Linear(weight_of(rows, columns, "linear"), bias=bias)
    if linear.bias is not None:
        with torch.no_grad():
            linear.bias.copy_(drawn(rows, seed=5))
    return linear


def bias_of(linear: Linear) -> Tensor:
    assert linear.bias is not None
    return linear.bias.detach().clone()


def weight_of(rows: int, columns: int, role: Role, *, zero_diagonal: bool = False) -> Weight:
    made = Weight("w", rows, columns, role, Use(1.0), zero_diagonal=zero_diagonal)
    made.assign(drawn(rows, columns).float())
    made.freeze()
    return made


@torch.no_grad()
def compressed(
    rank: Afm, weight: Weight, answer: Callable[[], object], bias: nn.Parameter | None = None
) -> None:
    biases = {} if bias is None else {"w": bias}
    before = weight.matrix
    rank.calibrate({"w": weight}, biases, lambda: (answer(), None)[1])
    assert weight.matrix is before or not isinstance(weight.matrix, WatchedMatrix)
    rank.compress({"w": weight})


def test_a_linear_gives_its_products_with_what_its_bias_takes_in() -> None:
    linear, inputs = linear_of(20, 30), skewed(500, 30).float()
    whole = linear(inputs).detach()
    compressed(Afm("uniform", ratio=0.25), linear.weight, lambda: linear(inputs), linear.bias)
    centred = np.linalg.svd((whole - whole.mean(0)).double().numpy(), compute_uv=False)
    error = (whole - linear(inputs).detach()).double().square().sum()
    assert float(error) == pytest.approx((centred[5:] ** 2).sum(), rel=1e-4)
    assert torch.allclose(linear(inputs).mean(0), whole.mean(0), atol=1e-3), "the mean is kept"


def test_a_linear_without_bias_is_projected_about_0() -> None:
    linear, inputs = linear_of(20, 30, bias=False), skewed(500, 30).float()
    whole = linear(inputs).detach()
    compressed(Afm("uniform", ratio=0.25), linear.weight, lambda: linear(inputs))
    values = np.linalg.svd(whole.double().numpy(), compute_uv=False)
    error = (whole - linear(inputs).detach()).double().square().sum()
    assert float(error) == pytest.approx((values[5:] ** 2).sum(), rel=1e-4)


def test_a_table_is_projected_on_the_rows_that_are_looked_up() -> None:
    table = weight_of(40, 16, "table")
    ids = torch.tensor([0, 0, 0, 1, 1, 2])
    whole = table.matrix.dense().clone()
    compressed(Afm("uniform", ratio=3 / 16), table, lambda: table.matrix.gather(ids))
    assert isinstance(table.matrix, LowRankMatrix)
    assert table.matrix.rank == 3
    assert torch.allclose(table.matrix.gather(ids), whole[ids], atol=1e-4), "three rows span them"
    queries = drawn(5, 16).float()
    assert torch.allclose(
        table.matrix.multiply(queries), queries @ table.matrix.dense().T, atol=1e-4
    ), "fused with a query and not, it scores alike"


def test_item_item_rows_are_projected_as_they_are_summed_up() -> None:
    weight = weight_of(30, 30, "item-item")
    indptr, ids = torch.arange(0, 201, 4), drawn(200).abs().mul(8).long().clamp(max=29)
    whole = weight.matrix.bag(indptr, ids)
    errors = []
    for asked in (lambda: weight.matrix.bag(indptr, ids), lambda: None):
        weight.matrix = weight_of(30, 30, "item-item").matrix
        compressed(Afm("uniform", ratio=0.2), weight, asked)
        errors.append(float((weight.matrix.bag(indptr, ids) - whole).norm()))
    assert errors[0] < errors[1]


def test_of_an_item_item_weight_the_diagonal_stays_zero() -> None:
    weight = weight_of(30, 30, "item-item", zero_diagonal=True)
    bags = torch.arange(31), torch.arange(30)
    compressed(Afm("uniform", ratio=0.2), weight, lambda: weight.matrix.bag(*bags))
    assert not weight.matrix.dense().diagonal().any()


@pytest.mark.parametrize("role", ["linear", "table"])
def test_what_nobody_sees_is_factored_as_by_svd(role: Role) -> None:
    weight = weight_of(40, 16, role)
    left, right = Spectrum.of(weight.matrix.dense()).factors(4)
    compressed(Afm("uniform", ratio=0.25), weight, weight.matrix.dense)
    assert torch.allclose(weight.matrix.dense(), left @ right.T, atol=1e-5)


def test_of_a_linear_that_is_served_in_part_the_part_is_watched() -> None:
    linear, inputs = linear_of(16, 16), skewed(200, 16).float()
    linear.weight = Weight("w", 16, 16, "linear", Use(1.0))
    linear.weight.assign(drawn(16, 16).float())
    linear.weight.corner = (12, 12)
    linear.weight.freeze()
    whole, bias = linear(inputs).detach(), bias_of(linear)
    compressed(Afm("uniform", ratio=0.25), linear.weight, lambda: linear(inputs), linear.bias)
    assert torch.equal(bias_of(linear)[12:], bias[12:])
    centred = np.linalg.svd((whole - whole.mean(0)).double().numpy(), compute_uv=False)
    error = (whole - linear(inputs).detach()).double().square().sum()
    assert float(error) == pytest.approx((centred[3:] ** 2).sum(), rel=1e-4)


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.999])
def test_an_energy_is_held_within_its_price_or_the_weight_stays_whole(energy: float) -> None:
    linear, inputs = linear_of(40, 30), skewed(500, 30).float()
    rank, whole = Afm("energy", energy=energy), linear(inputs).detach()
    (bounds,) = rank.price({"w": linear.weight.price()}).values()
    compressed(rank, linear.weight, lambda: linear(inputs), linear.bias)
    form = linear.weight.matrix.form()
    assert bounds.bytes.low <= form.bytes.low <= bounds.bytes.high
    error = (whole - linear(inputs).detach()).square().sum()
    assert error <= (1 - energy) * (whole - whole.mean(0)).square().sum() + 1e-3


def test_a_rank_that_does_not_pay_leaves_weight_and_bias_bit_for_bit() -> None:
    linear, inputs = linear_of(20, 20), skewed(50, 20).float()
    weight, bias = linear.weight.matrix.dense().clone(), bias_of(linear)
    compressed(Afm("uniform", ratio=0.5), linear.weight, lambda: linear(inputs), linear.bias)
    assert isinstance(linear.weight.matrix, DenseMatrix)
    assert torch.equal(linear.weight.matrix.dense(), weight)
    assert torch.equal(bias_of(linear), bias)


def test_moments_of_too_many_items_are_refused_before_they_cost() -> None:
    with pytest.raises(Infeasible, match="whole spectrum of a weight of 9,000 x 9,000"):
        Afm("uniform", ratio=0.1).price({"w": dense_form(9000, 9000)})
