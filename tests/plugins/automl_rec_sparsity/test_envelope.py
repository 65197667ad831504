import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec_sparsity.envelope import shrinkage


def envelope(groups: Tensor, costs: Tensor, budget: float) -> float:
    """Half the least sum of |w_g|^2 / u_g over shares of that cost, by bisection."""
    norms, paid = groups.norm(dim=1).double().numpy(), costs.double().numpy()
    if paid[norms > 0].sum() <= budget:
        return float(0.5 * (norms**2).sum())
    low, high = 0.0, 1e6
    for _ in range(80):
        middle = (low + high) / 2
        spent = (paid * np.minimum(middle * norms / np.sqrt(paid), 1.0)).sum()
        low, high = (middle, high) if spent < budget else (low, middle)
    norms, paid = norms[norms > 0], paid[norms > 0]
    return float(0.5 * (norms**2 / np.minimum(low * norms / np.sqrt(paid), 1.0)).sum())


def groups_of(seed: int, count: int = 8, size: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(count, 1, generator=generator, dtype=torch.float64) * 3
    return scale * torch.randn(count, size, generator=generator, dtype=torch.float64)


def mapped(groups: Tensor, costs: Tensor, strength: float, budget: float) -> Tensor:
    return groups * shrinkage(groups.norm(dim=1), costs, strength, budget)[:, None]


@pytest.mark.parametrize("strength", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("costs", ["equal", "by size"])
def test_the_proximal_map_is_better_than_five_hundred_others(strength: float, costs: str) -> None:
    groups = groups_of(1)
    paid = torch.ones(8, dtype=torch.float64)
    if costs != "equal":
        paid = torch.arange(1.0, 9.0, dtype=torch.float64)
    budget = 3.0 * float(paid.mean())

    def objective(tried: Tensor) -> float:
        distance = 0.5 * float((tried - groups).square().sum())
        return distance + strength * envelope(tried, paid, budget)

    found = mapped(groups, paid, strength, budget)
    best, generator = objective(found), torch.Generator().manual_seed(2)
    for number in range(500):
        size = 10.0 ** -(1 + number % 5)
        noise = torch.randn(groups.shape, generator=generator, dtype=torch.float64)
        assert objective(found + size * noise) >= best - 1e-6
        scales = 1 + size * torch.randn(8, 1, generator=generator, dtype=torch.float64)
        assert objective(found * scales) >= best - 1e-6


def test_the_stronger_the_harder_it_selects() -> None:
    left = [
        int(mapped(groups_of(0), torch.ones(8), s, 3.0).any(1).sum()) for s in (0.1, 1.0, 100.0)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > 3
    assert left[-1] == 3


def test_on_few_enough_groups_it_is_half_the_squared_norm() -> None:
    groups = groups_of(0)
    groups[3:] = 0.0
    assert envelope(groups, torch.ones(8), 3.0) == pytest.approx(float(groups.square().sum()) / 2)
    shrunk = mapped(groups, torch.ones(8), 0.25, 3.0)
    assert torch.allclose(shrunk, groups / 1.25)
    assert not mapped(torch.zeros(4, 2), torch.ones(4), 1.0, 2.0).any()


def test_the_shares_spend_the_budget() -> None:
    groups, costs = groups_of(4), torch.tensor([1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0])
    for strength in (1e-4, 0.1, 5.0):
        factors = shrinkage(groups.norm(dim=1), costs, strength, 7.0).double()
        shares = strength * factors / (1 - factors)  # of w = t u / (s + u)
        assert float((costs * shares).sum()) == pytest.approx(7.0, rel=1e-6)
