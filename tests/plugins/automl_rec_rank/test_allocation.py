import heapq
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec.plugin import Either, Infeasible, Interval, Product, dense_form
from automl_rec_rank.allocation import (
    Budget,
    Energy,
    Importance,
    Size,
    Uniform,
    by_energy,
    by_normalised_values,
)

sides = st.integers(1, 30)
several = st.lists(st.tuples(sides, sides), min_size=1, max_size=4)


def energies_of(size: Size, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(size.narrow, generator=generator, dtype=torch.float64)
    return drawn.sort(descending=True).values


def planted(
    shapes: list[tuple[int, int]], saving: float = 0.0
) -> tuple[dict[str, Size], dict[str, Tensor]]:
    sizes = {str(n): Size(*shape, saving) for n, shape in enumerate(shapes)}
    return sizes, {name: energies_of(size, n) for n, (name, size) in enumerate(sizes.items())}


@given(sides, sides)
def test_a_rank_pays_while_its_factors_hold_fewer_numbers(rows: int, columns: int) -> None:
    size = Size(rows, columns)
    assert size.most * (rows + columns) < rows * columns or size.most == 0
    assert (size.most + 1) * (rows + columns) >= rows * columns


def test_numbers_of_a_size_by_hand() -> None:
    size = Size(10, 6)  # 60 numbers, 16 a rank
    assert (size.narrow, size.most) == (6, 3)
    assert [size.numbers(rank) for rank in (1, 2, 3, 4, 6)] == [16, 32, 48, 60, 60]
    assert [size.rank_within(numbers) for numbers in (15, 16, 47, 48, 59, 60)] == [0, 1, 2, 3, 3, 6]
    assert size.steps().tolist() == [16, 16, 16, 12, 0, 0]
    assert size.largest_step == 16
    half = Size(10, 6, saving=0.5)  # 30 numbers at most
    assert (half.most, half.largest_step) == (1, 44)
    assert half.steps().tolist() == [16, 44, 0, 0, 0, 0]
    row = Size(1, 6)
    assert (row.most, row.largest_step, row.steps().tolist()) == (0, 6, [6])


@given(sides, sides, st.floats(0, 0.9))
def test_steps_add_up_to_the_numbers_of_a_rank(rows: int, columns: int, saving: float) -> None:
    size = Size(rows, columns, saving)
    stored = [size.numbers(rank) for rank in range(1, size.narrow + 1)]
    assert size.steps().cumsum(0).tolist() == stored
    assert int(size.steps().max()) == size.largest_step


def test_the_rank_of_an_energy_by_hand() -> None:
    energies = {"w": torch.tensor([9.0, 4.0, 1.0])}
    for energy, rank in zip(
        (0.3, 9 / 14, 0.7, 13 / 14, 0.95, 1.0), (1, 1, 2, 2, 3, 3), strict=True
    ):
        assert Energy(energy).ranks(energies, {}) == {"w": rank}
    assert Energy(0.9).ranks({"w": torch.zeros(4)}, {}) == {"w": 1}


def test_ranks_that_do_not_pay_leave_a_form_whole() -> None:
    form = dense_form(10, 6)
    priced = [Uniform(ratio).price({"w": form})["w"] for ratio in (0.5, 0.75, 1.0)]
    assert priced == [Product(dense_form(10, 3), dense_form(6, 3)), form, form]
    either = Energy(0.9).price({"w": form})["w"]
    assert isinstance(either, Either)
    assert either.bytes == Interval(4 * 16, 4 * 60)


def ranks_one_after_the_other(
    sizes: dict[str, Size], energies: dict[str, Tensor], budget: float
) -> dict[str, int]:
    """What `Budget` by energy says, from a heap."""
    ranks = {name: size.narrow for name, size in sizes.items()}
    sizes = {name: size for name, size in sizes.items() if size.most}
    limit = int(budget * sum(size.rows * size.columns for size in sizes.values()))
    ranks |= dict.fromkeys(sizes, 1)
    spent = sum(size.numbers(1) for size in sizes.values())
    heap = [
        (-float(energies[name][1]) / (size.rows + size.columns), place, name)
        for place, (name, size) in enumerate(sizes.items())
        if size.narrow > 1
    ]
    heapq.heapify(heap)
    while heap:
        _, place, name = heapq.heappop(heap)
        size, rank = sizes[name], ranks[name] + 1
        cost = size.numbers(rank) - size.numbers(rank - 1)
        if spent + cost > limit:
            break
        ranks[name], spent = rank, spent + cost
        if rank < size.narrow:
            worth = float(energies[name][rank]) / (size.rows + size.columns)
            heapq.heappush(heap, (-worth, place, name))
    return ranks


@given(several, st.floats(0.05, 1.0))
def test_a_budget_takes_one_rank_after_the_other(
    shapes: list[tuple[int, int]], budget: float
) -> None:
    sizes, energies = planted(shapes)
    rule = Budget(budget, by_energy)
    try:
        found = rule.ranks(energies, sizes)
    except Infeasible:
        factored = [size for size in sizes.values() if size.most]
        whole = sum(size.rows * size.columns for size in factored)
        assert sum(size.numbers(1) for size in factored) > int(budget * whole)
        return
    assert found == ranks_one_after_the_other(sizes, energies, budget)


@given(
    several,
    st.floats(0.05, 1.0),
    st.floats(0, 0.6),
    st.sampled_from([by_energy, by_normalised_values]),
)
def test_ranks_of_a_budget_keep_to_their_bounds(
    shapes: list[tuple[int, int]], budget: float, saving: float, importance: Importance
) -> None:
    sizes, energies = planted(shapes, saving)
    rule = Budget(budget, importance, saving)
    try:
        bounds = rule.bounds(sizes)
    except Infeasible:
        return
    ranks = rule.ranks(energies, sizes)
    numbers = {name: size.numbers(ranks[name]) for name, size in sizes.items()}
    for name, size in sizes.items():
        low, high = (size.numbers(int(rank)) for rank in bounds[name])
        assert low <= numbers[name] <= high
    factored = {name: size for name, size in sizes.items() if size.most}
    whole = sum(size.rows * size.columns for size in factored.values())
    limit, spent = int(budget * whole), sum(numbers[name] for name in factored)
    largest = max((size.largest_step for size in factored.values()), default=0)
    assert spent <= limit
    assert spent > limit - largest or spent == whole


def test_one_threshold_divides_the_normalised_values_taken_from_the_others() -> None:
    sizes, energies = planted([(40, 30), (20, 60), (30, 30)])
    taken = []
    for budget in (0.3, 0.5, 0.7):
        ranks = Budget(budget, by_normalised_values).ranks(energies, sizes)
        worth = {name: by_normalised_values(energies[name], sizes[name]) for name in sizes}
        least = min(float(worth[name][rank - 1]) for name, rank in ranks.items())
        left = max(
            float(worth[name][rank]) for name, rank in ranks.items() if rank < sizes[name].narrow
        )
        assert least > left, "what is taken is worth more than what is not"
        taken.append(ranks)
    for fewer, more in itertools.pairwise(taken):
        assert all(fewer[name] <= more[name] for name in sizes), "ranks grow with the budget"


def test_values_are_normalised_by_hand() -> None:
    found = by_normalised_values(torch.tensor([25.0, 9.0, 1.0]), Size(3, 3))  # 5, 3, 1
    assert found.tolist() == [1.0, 0.5, 0.0]
    assert by_normalised_values(torch.full((3,), 4.0), Size(3, 3)).tolist() == [0.0, 0.0, 0.0]
    assert by_energy(torch.tensor([30.0, 10.0]), Size(2, 3)).tolist() == [6.0, 2.0]


def test_a_weight_that_would_save_too_little_stays_whole() -> None:
    sizes, _ = planted([(40, 40), (40, 40)], 0.5)
    flat, steep = torch.linspace(2.0, 1.0, 40) ** 2, torch.logspace(0, -6, 40)
    energies = {"0": flat.double(), "1": steep.double()}
    ranks = Budget(0.7, by_normalised_values, 0.5).ranks(energies, sizes)
    assert ranks["0"] > sizes["0"].most
    assert ranks["1"] <= sizes["1"].most == 10


def test_a_budget_below_one_rank_for_every_weight_is_refused() -> None:
    forms = {"w": dense_form(10, 6), "v": dense_form(1, 20)}  # v cannot be factored
    with pytest.raises(Infeasible, match=r"budget of 0.2 is 12 numbers.* takes 16"):
        Budget(0.2, by_energy).price(forms)
    assert Budget(0.3, by_energy).price(forms)["v"] == dense_form(1, 20)
