from collections.abc import Callable

import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec.plugin import (
    DenseMatrix,
    Interval,
    Leaf,
    LowRankMatrix,
    Matrix,
    Role,
    Use,
    Weight,
    dense_form,
)
from automl_rec_sparsity.dsnot import DsNot
from automl_rec_sparsity.swaps import Inputs, swapped, wanda_scores
from automl_rec_sparsity.watching import MultipliedMatrix


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weight_of(rows: int, columns: int, role: Role = "linear") -> Weight:
    made = Weight("w", rows, columns, role, Use(1.0))
    made.assign(drawn(rows, columns))
    made.freeze()
    return made


INPUTS = torch.relu(drawn(500, 20, seed=1) + drawn(20, seed=2)) * torch.linspace(0.2, 3.0, 20)


@torch.no_grad()
def compressed(scheme: DsNot, weight: Weight, answer: Callable[[Matrix], object]) -> Tensor:
    """What is kept of a weight when a model has asked its matrix for answers: bool."""
    before = weight.matrix
    scheme.calibrate({"w": weight}, lambda: (answer(weight.matrix), None)[1])
    assert weight.matrix is before, "it is set back"
    priced = scheme.price({"w": weight.price() if weight.limit else before.form()})["w"].bytes
    scheme.compress({"w": weight})
    form = weight.matrix.form()
    assert priced.low <= form.bytes.low == form.bytes.high <= priced.high
    return weight.matrix.dense() != 0


def largest_of_rows(scores: Tensor, count: int) -> Tensor:
    best = scores.abs().topk(count, dim=1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, value=True)


def moments(inputs: Tensor) -> Inputs:
    return Inputs(inputs.double().mean(0), inputs.double().square().mean(0))


def test_inputs_are_those_of_all_products() -> None:
    matrix = MultipliedMatrix(DenseMatrix(drawn(7, 20)))
    assert matrix.inputs is None
    for part in INPUTS.split(170):
        asked = part.reshape(1, -1, 20)
        assert torch.equal(matrix.multiply(asked), matrix.watched.multiply(asked))
    matrix.gather(torch.tensor([1, 2]))
    found = matrix.inputs
    assert found is not None
    assert torch.allclose(found.mean, INPUTS.double().mean(0), atol=1e-12)
    assert torch.allclose(found.variance, INPUTS.double().var(0, correction=0), atol=1e-9)


@pytest.mark.parametrize("start", ["wanda", "magnitude"])
def test_without_cycles_the_first_choice_stays(start: str) -> None:
    weight, values = weight_of(12, 20), drawn(12, 20)
    scheme = DsNot(0.3, 0, "wanda" if start == "wanda" else "magnitude")
    kept = compressed(scheme, weight, lambda matrix: matrix.multiply(INPUTS))
    scores = values * INPUTS.square().mean(0).sqrt() if start == "wanda" else values
    assert kept.equal(largest_of_rows(scores, 6))
    assert weight.matrix.dense().equal(values * kept)


@pytest.mark.parametrize("role", ["linear", "table"])
def test_what_is_multiplied_keeps_what_its_inputs_deserve(role: Role) -> None:
    weight, values = weight_of(12, 20, role), drawn(12, 20)
    kept = compressed(DsNot(0.3), weight, lambda matrix: matrix.multiply(INPUTS))
    inputs = moments(INPUTS)
    first = largest_of_rows(wanda_scores(values, inputs), 6)
    assert kept.equal(swapped(values, first, inputs, 50))
    assert not kept.equal(first)
    assert (kept.sum(1) == 6).all()
    errors = [(INPUTS @ (values * ~mask).T).mean(0).abs().mean() for mask in (first, kept)]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("read", ["gather", "bag", "dense", "project"])
def test_what_is_not_multiplied_keeps_the_largest_of_each_row(read: str) -> None:
    weight, ids = weight_of(12, 20, "table"), torch.arange(6)
    asked: dict[str, Callable[[Matrix], Tensor]] = {
        "gather": lambda matrix: matrix.gather(ids),
        "bag": lambda matrix: matrix.bag(torch.tensor([0, 2, 6]), ids),
        "dense": lambda matrix: matrix.dense(),
        "project": lambda matrix: matrix.project(drawn(5, 12)),
    }
    kept = compressed(DsNot(0.3), weight, asked[read])
    assert kept.equal(largest_of_rows(drawn(12, 20), 6))


def test_of_factors_the_one_multiplied_last_sees_its_inputs() -> None:
    weight, left, right = weight_of(12, 20), drawn(12, 8, seed=3), drawn(20, 8, seed=4)
    weight.matrix = LowRankMatrix(DenseMatrix(left), DenseMatrix(right))
    compressed(DsNot(0.5), weight, lambda matrix: matrix.multiply(INPUTS))
    matrix = weight.matrix
    assert isinstance(matrix, LowRankMatrix)
    inputs = moments(INPUTS @ right)
    first = largest_of_rows(wanda_scores(left, inputs), 4)
    assert (matrix.left.dense() != 0).equal(swapped(left, first, inputs, 50))
    assert (matrix.right.dense() != 0).equal(largest_of_rows(right, 4))


def test_of_a_weight_that_is_served_in_part_the_part_is_chosen_from() -> None:
    weight = Weight("w", 12, 20, "linear", Use(1.0))
    weight.assign(drawn(12, 20))
    weight.corner = (10, 16)
    weight.freeze()
    kept = compressed(DsNot(0.25), weight, lambda matrix: matrix.multiply(INPUTS))
    values, inputs = drawn(12, 20)[:10, :16], moments(INPUTS[:, :16])
    first = largest_of_rows(wanda_scores(values, inputs), 4)
    assert kept[:10, :16].equal(swapped(values, first, inputs, 50))


def test_of_a_sparse_weight_the_largest_present_of_each_row_stay() -> None:
    weight = Weight("near", 30, 30, "item-item", Use(rows=3.0), limit=200)
    values = torch.where(drawn(30, 30, seed=5) > 1.0, drawn(30, 30, seed=6), 0.0)
    weight.assign(sp.csr_matrix(values.numpy()))
    kept = compressed(DsNot(0.1), weight, lambda _: None)
    assert kept.equal(largest_of_rows(values, 3) & (values != 0))
    assert 0 < (kept.sum(1) < 3).sum() < 30


@given(st.floats(0.001, 1.0), st.integers(1, 12), st.integers(1, 40), st.integers(0, 3))
def test_rows_keep_their_share_at_its_price(
    density: float, rows: int, columns: int, cycles: int
) -> None:
    weight = weight_of(rows, columns)
    inputs = drawn(30, columns, seed=1) + 1.0
    scheme = DsNot(density, cycles)
    (priced,) = scheme.price({"w": weight.price()}).values()
    kept = compressed(scheme, weight, lambda matrix: matrix.multiply(inputs))
    assert (kept.sum(1) == max(round(density * columns), 1)).all()
    assert weight.matrix.form().bytes == priced.bytes


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_price_of_a_sparse_weight_holds_what_stays_of_any(low: int, more: int) -> None:
    leaf = Leaf(Interval(10, 10), Interval(6, 6), Interval(low, low + more))
    (priced,) = DsNot(0.34).price({"w": leaf}).values()  # 2 of a row
    places = [torch.arange(60), torch.arange(60).reshape(10, 6).T.reshape(-1)]  # by rows, spread
    for order in places:
        for count in (low, low + more):
            present = torch.zeros(60, dtype=torch.bool)
            present[order[:count]] = True
            stay = int(present.reshape(10, 6).sum(1).clamp(max=2).sum())
            assert priced.leaves()[0].entries.low <= stay <= priced.leaves()[0].entries.high
    assert priced.leaves()[0].entries.low == low // 6 * 2 + min(low % 6, 2)


def test_nothing_of_it_acts_in_training() -> None:
    assert not DsNot(0.1).acts_in_training


def test_a_weight_that_keeps_everything_stays_as_it_is() -> None:
    weight = weight_of(12, 20)
    compressed(DsNot(1.0), weight, lambda matrix: matrix.multiply(INPUTS))
    assert isinstance(weight.matrix, DenseMatrix)
    assert weight.matrix.dense().equal(drawn(12, 20))
    assert weight.matrix.form() == dense_form(12, 20)
