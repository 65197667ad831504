import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec.plugin import Pattern
from automl_rec_sparsity.groups import largest_of_groups
from automl_rec_sparsity.swaps import Inputs, missing, swapped, wanda_scores


def inputs_of(mean: Sequence[float], variance: Sequence[float]) -> Inputs:
    means, variances = (torch.tensor(values, dtype=torch.float64) for values in (mean, variance))
    return Inputs(means, means.square() + variances)


def sampled(vectors: Tensor) -> Inputs:
    return Inputs(vectors.double().mean(0), vectors.double().square().mean(0))


def wanda(weight: Tensor, inputs: Inputs, count: int) -> Tensor:
    return largest_of_groups(wanda_scores(weight, inputs), Pattern(count, weight.shape[1]))


def test_scores_by_hand() -> None:
    inputs = inputs_of([1.0, 0.0, -3.0], [3.0, 0.25, 0.0])
    scores = wanda_scores(torch.tensor([[1.0, 4.0, 2.0], [-3.0, 0.0, -1.0]]), inputs)
    assert scores.tolist() == [[2.0, 2.0, 6.0], [6.0, 0.0, 3.0]]


def test_swaps_by_hand() -> None:
    weight = torch.tensor([[3.0, -2.0, 1.5, 1.0]])
    inputs = inputs_of([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 4.0])
    kept = wanda(weight, inputs, 2)
    assert kept.tolist() == [[True, True, False, False]]  # scores 4.2, 2.8, 2.1, 2.2
    assert missing(weight, kept, inputs).tolist() == [2.5]
    # Back comes 1.5 (1.5 / 1 above 1 / 4), and -2 goes: 2.5 - 1.5 - 2. Then -2 would come back and
    # 1.5 go (2.1 below 4.2): to 2.5, which is no less.
    found = swapped(weight, kept, inputs, 50)
    assert found.tolist() == [[True, False, True, False]]
    assert missing(weight, found, inputs).tolist() == [-1.0]


def test_a_row_that_has_nothing_to_give_stays() -> None:
    weight = torch.tensor([[3.0, 2.0, 1.5, 1.0], [3.0, -2.0, 1.5, 1.0]])
    inputs = inputs_of([1.0] * 4, [1.0] * 4)
    kept = wanda(weight, inputs, 2)
    assert swapped(weight, kept, inputs, 50).tolist() == [
        [True, True, False, False],
        [True, False, True, False],
    ]


@pytest.mark.parametrize(("missed", "stays"), [(0.00500, True), (0.00505, False)])
def test_a_row_that_misses_a_hundredth_of_the_mean_is_left_alone(
    missed: float, *, stays: bool
) -> None:
    weight = torch.tensor([[3.0, -missed, 0.6 * missed, 0.4 * missed], [3.0, 2.0, 0.5, 0.5]])
    inputs = inputs_of([1.0] * 4, [1e-6] * 4)
    kept = torch.tensor([[True, True, False, False]] * 2)
    found = swapped(weight, kept, inputs, 50)  # they miss (1 + missed) / 2 in the mean
    assert found[0].equal(kept[0]) == stays
    assert not swapped(weight[:1], kept[:1], inputs, 50).equal(kept[:1]), "alone it is worth it"


def test_a_row_stops_once_it_misses_little() -> None:
    weight = torch.tensor([[3.0, -0.001, -0.002, 1.0, 0.006, 0.005]])
    kept = torch.tensor([[True, True, True, False, False, False]])
    found = swapped(weight, kept, inputs_of([1.0] * 6, [1e-6] * 6), 50)
    # 1.011 - 1 - 0.001 = 0.010, less than 0.01011; else 0.006 would come back, and -0.002 go.
    assert found.tolist() == [[True, False, True, True, False, False]]


def test_a_row_whose_mean_is_small_beside_its_spread_is_left_alone() -> None:
    weight, kept = torch.tensor([[3.0, -2.0, 1.5, 1.0]]), torch.tensor([[True, True, False, False]])
    # It misses 2.5 in the mean, with a variance of 1.5^2 v + 1 v: a standard deviation of 25 at
    # v = 192.3.
    for variance, stays in ((190.0, False), (195.0, True)):
        found = swapped(weight, kept, inputs_of([1.0] * 4, [variance] * 4), 50)
        assert found.equal(kept) == stays


def swapped_row(
    weight: list[float], kept: list[bool], inputs: Inputs, near: float, cycles: int
) -> list[bool]:
    """One row, entry by entry."""
    mean, variance = inputs.mean.tolist(), inputs.variance.tolist()
    score = [
        abs(w) * math.sqrt(square)
        for w, square in zip(weight, inputs.mean_square.tolist(), strict=True)
    ]
    kept, places = list(kept), range(len(weight))
    for _ in range(cycles):
        error = sum(weight[j] * mean[j] for j in places if not kept[j])
        if abs(error) <= near:
            break
        sign = 1 if error > 0 else -1
        back = max(
            (j for j in places if not kept[j]),
            key=lambda j: sign * weight[j] * mean[j] / variance[j],
        )
        helping = [j for j in places if kept[j] and sign * weight[j] * mean[j] < 0]
        if not helping:
            break
        gone = min(helping, key=lambda j: score[j])
        if abs(error - weight[back] * mean[back] + weight[gone] * mean[gone]) >= abs(error):
            break
        kept[back], kept[gone] = True, False
    return kept


@st.composite
def whole_numbers(draw: st.DrawFn) -> tuple[Tensor, Inputs, int]:
    """A weight, its inputs and a number to keep of a row: sums are exact, ties are common."""
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    numbers = st.integers(-4, 4)
    values = draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))
    mean = draw(st.lists(numbers, min_size=columns, max_size=columns))
    variance = draw(st.lists(st.sampled_from([0, 0.5, 1, 4]), min_size=columns, max_size=columns))
    count = draw(st.integers(1, columns))
    weight = torch.tensor(values, dtype=torch.float32).reshape(rows, columns)
    return weight, inputs_of(mean, variance), count


@given(whole_numbers(), st.integers(0, 8))
def test_rows_swap_as_one_by_one(case: tuple[Tensor, Inputs, int], cycles: int) -> None:
    weight, inputs, count = case
    kept = wanda(weight, inputs, count)
    mean_error = float(missing(weight, kept, inputs).abs().mean())
    found = swapped(weight, kept, inputs, cycles)
    for row, own, after in zip(weight, kept, found, strict=True):
        spread = math.sqrt(float((row.double() ** 2 * inputs.variance)[~own].sum()))
        near = max(0.01 * mean_error, 0.1 * spread)
        assert after.tolist() == swapped_row(row.tolist(), own.tolist(), inputs, near, cycles)


@given(whole_numbers())
def test_rows_keep_their_number_and_miss_no_more_after_any_swap(
    case: tuple[Tensor, Inputs, int],
) -> None:
    weight, inputs, count = case
    kept = wanda(weight, inputs, count)
    before = missing(weight, kept, inputs).abs()
    for cycles in range(8):
        found = swapped(weight, kept, inputs, cycles)
        assert (found.sum(1) == count).all()
        after = missing(weight, found, inputs).abs()
        assert (after <= before).all()
        before = after
    assert kept.equal(wanda(weight, inputs, count)), "what was handed in is not changed"


@given(whole_numbers())
def test_inputs_of_mean_0_leave_the_first_choice(case: tuple[Tensor, Inputs, int]) -> None:
    weight, inputs, count = case
    centred = inputs_of([0.0] * weight.shape[1], inputs.mean_square.tolist())
    kept = wanda(weight, centred, count)
    assert swapped(weight, kept, centred, 50).equal(kept)


def drawn(seed: int, kind: str) -> tuple[Tensor, Tensor]:
    """A weight (64, 128), and 4,096 inputs of it."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(64, 128, generator=generator)
    noise = torch.randn(4096, 128, generator=generator)
    if kind == "events":
        return weight, (noise < torch.randn(128, generator=generator)).float()
    if kind == "rectified":
        return weight, torch.relu(noise + 0.5 * torch.randn(128, generator=generator))
    if kind == "normalised":
        mixed = noise @ torch.randn(128, 128, generator=generator)
        return weight, torch.nn.functional.layer_norm(mixed, (128,))
    return weight, noise


def squared_error(weight: Tensor, kept: Tensor, vectors: Tensor) -> float:
    return float((vectors.double() @ (weight.double() * ~kept).T).square().mean())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["events", "rectified"])
def test_products_of_inputs_with_means_err_less_than_by_wanda(kind: str, seed: int) -> None:
    weight, vectors = drawn(seed, kind)
    inputs = sampled(vectors)
    kept = wanda(weight, inputs, 38)  # 30 %
    found = swapped(weight, kept, inputs, 50)
    errors = [squared_error(weight, mask, vectors) for mask in (kept, found)]
    means = [float(missing(weight, mask, inputs).abs().mean()) for mask in (kept, found)]
    assert errors[1] < 0.75 * errors[0]
    assert means[1] < 0.15 * means[0]
    largest = largest_of_groups(weight, Pattern(38, 128))
    assert errors[0] < squared_error(weight, largest, vectors), "Wanda's beats magnitude's"


@pytest.mark.parametrize("kind", ["centred", "normalised"])
def test_a_sample_of_inputs_of_mean_0_leaves_the_first_choice(kind: str) -> None:
    weight, vectors = drawn(0, kind)
    inputs = sampled(vectors)
    assert inputs.mean.any(), "no sample has quite a mean of 0"
    kept = wanda(weight, inputs, 38)
    assert swapped(weight, kept, inputs, 50).equal(kept)
