import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec_sparsity.selection import (
    Entries,
    budget,
    largest,
    largest_of_each_row,
    overall,
    uniform,
)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 45))
def test_the_largest_stay_and_the_first_of_equals(sizes: list[int], count: int) -> None:
    kept = largest(torch.tensor(sizes, dtype=torch.float32), count)
    order = sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))
    assert sorted(order[:count]) == kept.nonzero()[:, 0].tolist()


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.floats(0.001, 1.0),
    st.integers(0, 1000),
)
def test_counts_are_exact(sizes: list[int], density: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrices = [
        Entries(torch.from_numpy(generator.integers(0, 4, size).astype(np.float32)), size)
        for size in sizes
    ]
    assert [int(kept.sum()) for kept in uniform(matrices, density)] == [
        round(density * size) for size in sizes
    ]
    assert sum(int(kept.sum()) for kept in overall(matrices, density)) == round(
        density * sum(sizes)
    )


def entries(values: list[float], *, spared: Tensor | None = None) -> Entries:
    return Entries(torch.tensor(values), len(values), spared)


def test_one_density_for_all_takes_from_the_smaller_values() -> None:
    kept = overall([entries([5.0, 4.0, 3.0, 2.0]), entries([1.0, 0.5, 0.4, 4.5])], 0.5)
    assert [own.tolist() for own in kept] == [
        [True, True, True, False],
        [False, False, False, True],
    ]


def test_spared_entries_stay_and_count() -> None:
    spared = torch.tensor([False, False, True])
    kept = overall([entries([9.0, 8.0, 7.0]), entries([0.1, 0.2, 0.3], spared=spared)], 0.5)
    assert [own.tolist() for own in kept] == [[True, True, False], [False, False, True]]


def test_more_are_spared_than_the_density_allows() -> None:
    spared = torch.tensor([True, True, False])
    (kept,) = overall([entries([1.0, 2.0, 3.0], spared=spared)], 0.01)
    assert kept.tolist() == [True, True, False]


def test_a_sparse_matrix_keeps_a_share_of_its_places_or_all_it_has() -> None:
    few = Entries(torch.tensor([1.0, 2.0]), size=20)
    assert uniform([few], 0.5)[0].tolist() == [True, True]
    assert uniform([few], 0.05)[0].tolist() == [False, True]


def test_the_largest_of_a_row_is_the_first_of_equals() -> None:
    values = torch.tensor([[1.0, -3.0, 3.0], [0.0, 0.0, 0.0]])
    assert largest_of_each_row(values).tolist() == [[False, True, False], [True, False, False]]


def test_a_budget_is_rounded() -> None:
    assert [budget(0.1, n) for n in (4, 6, 14, 16)] == [0, 1, 1, 2]
