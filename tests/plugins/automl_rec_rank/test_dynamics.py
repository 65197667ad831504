import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec_rank.dynamics import Decomposition, narrowed, widened

sizes = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(1, 3))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def decomposed(rows: int, columns: int, rank: int, seed: int = 0) -> Decomposition:
    rank = min(rank, rows, columns)
    bases = [torch.linalg.qr(drawn(n, rank, seed=seed + n)).Q for n in (rows, columns)]
    return Decomposition(bases[0], drawn(rank, rank, seed=seed + 50), bases[1])


def whole(found: Decomposition) -> Tensor:
    return found.left @ found.core @ found.right.T


def orthonormal(basis: Tensor) -> bool:
    columns = torch.eye(basis.shape[1], dtype=basis.dtype)
    return torch.allclose(basis.T @ basis, columns, atol=1e-13)


def moved(now: Decomposition, slope: Tensor, rate: float) -> Decomposition:
    """A step without leaving anything out, for a slope by the matrix that is the same all along."""
    wide = widened(now, (slope @ now.right, slope.T @ now.left), rate)
    return wide._replace(core=wide.core - rate * wide.left.T @ slope @ wide.right)


@given(sizes, st.floats(1e-3, 1.0))
def test_wider_bases_hold_the_same_matrix(shape: tuple[int, int, int], rate: float) -> None:
    now = decomposed(*shape)
    wide = widened(now, (drawn(*now.left.shape, seed=7), drawn(*now.right.shape, seed=8)), rate)
    assert torch.allclose(whole(wide), whole(now), atol=1e-12)
    assert orthonormal(wide.left)
    assert orthonormal(wide.right)
    ranks = now.core.shape[0]
    assert wide.core.shape == (min(2 * ranks, shape[0]), min(2 * ranks, shape[1]))


@given(sizes, st.floats(1e-3, 1.0))
def test_a_step_moves_by_the_slope_between_the_wider_bases(
    shape: tuple[int, int, int], rate: float
) -> None:
    now, slope = decomposed(*shape), drawn(*shape[:2], seed=9)
    after = moved(now, slope, rate)
    between = after.left @ after.left.T @ slope @ after.right @ after.right.T
    assert torch.allclose(whole(after) - whole(now), -rate * between, atol=1e-12)


def test_at_the_full_rank_of_a_square_a_step_is_one_of_gradient_descent() -> None:
    now, slope = decomposed(6, 6, 6), drawn(6, 6, seed=9)
    after = narrowed(moved(now, slope, 0.1), 2, 6, 0.0)
    assert torch.allclose(whole(after), whole(now) - 0.1 * slope, atol=1e-13)


@given(sizes, st.floats(0.0, 0.9))
def test_no_more_than_a_share_of_the_length_is_left_out(
    shape: tuple[int, int, int], theta: float
) -> None:
    wide = moved(decomposed(*shape), drawn(*shape[:2], seed=9), 0.5)
    found = narrowed(wide, 1, 99, theta)
    assert orthonormal(found.left)
    assert orthonormal(found.right)
    values = found.core.diagonal()
    assert torch.equal(found.core, torch.diag(values))
    assert (values.diff() <= 0).all()
    length, rank = torch.linalg.norm(whole(wide)), len(values)
    error = torch.linalg.norm(whole(wide) - whole(found))
    assert error <= theta * length + 1e-12
    if rank > 1:
        fewer = narrowed(wide, 1, rank - 1, 0.0)
        assert torch.linalg.norm(whole(wide) - whole(fewer)) > theta * length, "one less would do"


def test_ranks_keep_to_their_bounds() -> None:
    wide = decomposed(9, 8, 6)
    assert narrowed(wide, 3, 6, 1.0).core.shape == (3, 3)
    assert narrowed(wide, 2, 4, 0.0).core.shape == (4, 4)
    assert narrowed(wide, 2, 99, 0.0).core.shape == (6, 6)
    assert narrowed(Decomposition(wide.left, 0 * wide.core, wide.right), 2, 6, 0.1).core.shape == (
        *(2, 2),
    )


def test_the_rank_grows_to_that_of_a_target_and_falls_to_that_of_another() -> None:
    now = decomposed(20, 16, 2)
    ranks = []
    for rank in (5, 3):
        target, losses = whole(decomposed(20, 16, rank, seed=3)), []
        for _ in range(120):
            losses.append(float((whole(now) - target).square().sum()))
            now = narrowed(moved(now, whole(now) - target, 0.2), 2, 8, 0.02)
        assert losses[-1] < 0.01 * losses[0]
        assert all(
            after < before + 0.05 * losses[0] for before, after in itertools.pairwise(losses)
        )
        ranks.append(now.core.shape[0])
    assert ranks == [5, 3]


def test_a_small_step_on_a_quadratic_descends() -> None:
    now, target = decomposed(12, 10, 3), drawn(12, 10, seed=5)
    before = (whole(now) - target).square().sum()
    after = narrowed(moved(now, whole(now) - target, 0.05), 2, 6, 0.0)
    assert (whole(after) - target).square().sum() < before


@pytest.mark.parametrize("rank", [1, 4])
def test_nothing_is_left_out_that_has_a_length(rank: int) -> None:
    now = decomposed(9, 8, rank)
    assert narrowed(now, 1, 8, 0.0).core.shape == (rank, rank)
