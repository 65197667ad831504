import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec_models.collaborative import softplus
from automl_rec_models.collaborative.softplus import product_softplus, weighted_softplus


def drawn(*shape: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.randn(shape, generator=generator).mul(scale).requires_grad_()


def test_weighted_softplus_has_the_slopes_of_plain_operations() -> None:
    values, weights = drawn(5, 7, scale=20.0), drawn(5, 7).detach().abs()
    expected, ours = (weights * F.softplus(values)).sum(), weighted_softplus(values, weights)
    torch.testing.assert_close(ours, expected)
    slopes = [torch.autograd.grad(2 * result, values)[0] for result in (ours, expected)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("chunk", [1, 10, 1 << 17])
def test_products_may_be_computed_in_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softplus, "CHUNK_PRODUCTS", chunk)
    vectors, rows = drawn(6, 3), drawn(4, 3, scale=3.0)
    of_vectors, of_rows = drawn(6).detach().abs(), drawn(4).detach().abs()
    weights = 0.3 + of_vectors[:, None] * of_rows
    expected = (weights * F.softplus(vectors @ rows.T)).sum()
    ours = product_softplus(vectors, rows, of_vectors, of_rows, 0.3)
    torch.testing.assert_close(ours, expected)
    slopes = [torch.autograd.grad(2 * result, (vectors, rows)) for result in (ours, expected)]
    torch.testing.assert_close(*slopes)
