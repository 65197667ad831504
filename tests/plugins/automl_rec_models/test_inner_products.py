import torch
from torch.autograd import gradcheck

from automl_rec_models.inner_products import inner_products


def test_products_are_those_of_every_vector_with_its_own_rows() -> None:
    vectors = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    rows = torch.tensor(
        [[[1.0, 1.0], [2.0, 0.0], [0.0, -1.0]], [[5.0, 1.0], [1.0, 1.0], [1.0, 0.0]]]
    )
    assert inner_products(vectors, rows).tolist() == [[3.0, 2.0, -2.0], [3.0, 3.0, 0.0]]


def test_slopes_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    rows = torch.randn(4, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    assert gradcheck(inner_products, (vectors, rows))
