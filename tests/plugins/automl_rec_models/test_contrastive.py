import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from automl_rec_models import contrastive as module
from automl_rec_models.contrastive import contrastive, shared_hinge
from automl_rec_models.losses import cosine_contrastive


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
    return F.normalize(drawn, dim=-1).requires_grad_()


@pytest.mark.parametrize("products", [1, 10, 1 << 20])
@pytest.mark.parametrize("margin", [-2.0, 0.1, 2.0])
def test_the_shared_hinge_is_the_mean_over_all_products(
    products: int, margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_PRODUCTS", products)
    vectors, negatives = unit(7, 4, seed=0), unit(5, 4, seed=1)
    expected = F.relu(vectors @ negatives.T - margin).mean()
    torch.testing.assert_close(shared_hinge(vectors, negatives, margin), expected)
    assert gradcheck(lambda v, n: 3 * shared_hinge(v, n, margin), (vectors, negatives))


@pytest.mark.parametrize("shape", [(5, 4), (7, 5, 4)], ids=["shared", "own"])
def test_it_is_the_loss_of_the_cosines(shape: tuple[int, ...]) -> None:
    vectors, items, negatives = unit(7, 4, seed=0), unit(7, 4, seed=1), unit(*shape, seed=2)
    cosines = torch.einsum("bd,nd->bn" if len(shape) == 2 else "bd,bnd->bn", vectors, negatives)
    positives = (vectors * items).sum(1)
    expected = cosine_contrastive(positives, cosines, weight=9.0, margin=0.2)
    found = contrastive(vectors, items, negatives, weight=9.0, margin=0.2)
    torch.testing.assert_close(found, expected)
