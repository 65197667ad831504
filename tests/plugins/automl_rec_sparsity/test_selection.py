import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec_sparsity.selection import (
    Entries,
    budget,
    by_shape,
    largest,
    largest_of_each_row,
    overall,
    shape_densities,
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
        Entries(torch.from_numpy(generator.integers(0, 4, size).astype(np.float32)), 1, size)
        for size in sizes
    ]
    assert [int(kept.sum()) for kept in uniform(matrices, density)] == [
        round(density * size) for size in sizes
    ]
    assert sum(int(kept.sum()) for kept in overall(matrices, density)) == round(
        density * sum(sizes)
    )


def entries(values: list[float], *, spared: Tensor | None = None) -> Entries:
    return Entries(torch.tensor(values), 1, len(values), spared)


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
    few = Entries(torch.tensor([1.0, 2.0]), 4, 5)
    assert uniform([few], 0.5)[0].tolist() == [True, True]
    assert uniform([few], 0.05)[0].tolist() == [False, True]


def test_the_largest_of_a_row_is_the_first_of_equals() -> None:
    values = torch.tensor([[1.0, -3.0, 3.0], [0.0, 0.0, 0.0]])
    assert largest_of_each_row(values).tolist() == [[False, True, False], [True, False, False]]


def test_a_budget_is_rounded() -> None:
    assert [budget(0.1, n) for n in (4, 6, 14, 16)] == [0, 1, 1, 2]


def test_densities_by_shape_by_hand() -> None:
    # (m + n) / (m n) is 0.2 and 0.11; 0.1 of 600 places are 60 = factor * (20 + 60).
    found = shape_densities([(10, 10), (50, 10)], 0.1)
    assert found == pytest.approx([60 / 80 * 20 / 100, 60 / 80 * 60 / 500])


def test_what_would_be_more_than_whole_is_whole() -> None:
    # 0.5 of 136 places are 68 = factor * (5 + 23): 12 for the 6 places of the first.
    found = shape_densities([(2, 3), (10, 13)], 0.5)
    assert found == pytest.approx([1.0, (68 - 6) / 130])


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6),
    st.floats(0.001, 1.0),
)
def test_densities_by_shape_keep_the_budget(shapes: list[tuple[int, int]], density: float) -> None:
    found = shape_densities(shapes, density)
    sizes = [rows * columns for rows, columns in shapes]
    assert all(0 <= share <= 1 + 1e-9 for share in found)
    total = sum(share * size for share, size in zip(found, sizes, strict=True))
    assert total == pytest.approx(density * sum(sizes))


def test_smaller_matrices_keep_a_larger_share() -> None:
    generator = torch.Generator().manual_seed(0)
    small, large = (
        Entries(torch.rand(side * side, generator=generator), side, side) for side in (10, 40)
    )
    first, second = by_shape([small, large], 0.1)
    assert int(first.sum()) == round(170 * 20 / 100)
    assert int(second.sum()) == round(170 * 80 / 100)
