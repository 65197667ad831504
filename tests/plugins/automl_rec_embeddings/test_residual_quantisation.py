import pytest
import torch
from torch import Tensor

from automl_rec_embeddings.residual_quantisation import numbered, quantise_residuals

ROWS, WIDTH, CODES = 2000, 8, 16


def gaussian() -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))


def error(vectors: Tensor, levels: int, *, unique: bool = False) -> float:
    found = quantise_residuals(vectors, levels, CODES, unique=unique)
    return float((found.vectors() - vectors).square().sum())


def perplexity(codes: Tensor) -> float:
    shares = torch.bincount(codes).double() / len(codes)
    shares = shares[shares > 0]
    return float((-(shares * shares.log()).sum()).exp())


def test_no_level_makes_the_sums_worse() -> None:
    heavy = gaussian() * torch.logspace(0, 4, ROWS)[:, None]
    for vectors in (gaussian(), gaussian() + 5.0, heavy):
        errors = [float(vectors.square().sum())]
        errors += [error(vectors, levels) for levels in (1, 2, 3, 4)]
        assert errors == sorted(errors, reverse=True)
        assert error(vectors, 2, unique=True) <= errors[2] * (1 + 1e-6)
    assert error(gaussian(), 4) < 0.25 * error(gaussian(), 1)


def test_codes_are_used_evenly_on_gaussian_vectors() -> None:
    found = quantise_residuals(gaussian(), 3, CODES, unique=False)
    for level in found.codes.T:
        assert perplexity(level) > 0.2 * CODES


def test_sums_are_those_of_each_levels_centre() -> None:
    found = quantise_residuals(gaussian(), 2, CODES, unique=False)
    first, second = found.codes[7].tolist()
    expected = found.codebooks[0, first] + found.codebooks[1, second]
    assert torch.equal(found.vectors()[7], expected)
    assert found.codebooks.shape == (2, CODES, WIDTH)
    assert 0 <= found.codes.min() <= found.codes.max() < CODES


def test_rows_with_equal_codes_are_numbered_in_their_order() -> None:
    codes = torch.tensor([[1, 2], [0, 0], [1, 2], [1, 2], [0, 0], [2, 1]])
    assert numbered(codes).tolist() == [0, 0, 1, 2, 1, 0]


def test_a_last_level_tells_up_to_as_many_equal_vectors_apart_as_it_has_codes() -> None:
    vectors = gaussian()[:5].repeat_interleave(CODES, 0)
    shared = quantise_residuals(vectors, 2, CODES, unique=False).codes
    assert len(shared.unique(dim=0)) == 5
    apart = quantise_residuals(vectors, 2, CODES, unique=True).codes
    assert torch.equal(apart[:, :2], shared)
    assert len(apart.unique(dim=0)) == len(vectors)
    more = quantise_residuals(vectors[:1].repeat(CODES + 1, 1), 1, CODES, unique=True).codes
    assert more[:, 1].tolist() == [*range(CODES), 0]


@pytest.mark.parametrize("unique", [False, True])
def test_the_same_vectors_get_the_same_codes(*, unique: bool) -> None:
    first, second = (quantise_residuals(gaussian(), 3, CODES, unique=unique) for _ in range(2))
    assert torch.equal(first.codes, second.codes)
    assert torch.equal(first.codebooks, second.codebooks)
