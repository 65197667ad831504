import numpy as np
import pytest
import torch

from automl_rec.data import sampling as module
from automl_rec.data.sampling import Negatives
from automl_rec.plugin import Catalog, Histories, Sampling
from automl_rec.testing.planted import planted_tiny


def draw(catalog: Catalog, sampling: Sampling, users: torch.Tensor, count: int) -> torch.Tensor:
    return Negatives(catalog, sampling).draw(users, count, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("places", [0, 1 << 25], ids=["searched", "bitmap"])
def test_rejecting_draws_are_uniform_over_what_a_user_has_not_met(
    places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BITMAP_PLACES", places)
    catalog = planted_tiny().catalog
    users = torch.arange(60).repeat_interleave(50)
    drawn = draw(catalog, Sampling(), users, 20)
    met = catalog.matrix.toarray() > 0
    assert not met[users.numpy()[:, None], drawn.numpy()].any()
    counts = np.bincount(drawn[users == 7].flatten(), minlength=40)[~met[7]]
    expected = 1000 / (~met[7]).sum()
    assert ((counts - expected) ** 2 / expected).sum() < 63.7  # 0.1 % point of chi2 with 33 degrees


def test_bitmap_and_search_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = planted_tiny().catalog
    users = torch.arange(60)
    by_bitmap = draw(catalog, Sampling(), users, 8)
    monkeypatch.setattr(module, "BITMAP_PLACES", 0)
    assert torch.equal(by_bitmap, draw(catalog, Sampling(), users, 8))


def test_a_user_who_met_all_but_one_item_gets_that_one() -> None:
    catalog = Catalog(5, Histories(np.array([0, 4]), np.array([4, 0, 3, 1], np.int32)))
    assert draw(catalog, Sampling(), torch.zeros(6, dtype=torch.int64), 2).unique().tolist() == [2]


def test_a_user_who_met_everything_gets_any_item() -> None:
    histories = Histories(np.array([0, 3, 4]), np.array([2, 0, 1, 1], np.int32))
    drawn = draw(Catalog(3, histories), Sampling(), torch.tensor([0, 1]), 200)
    assert drawn[0].unique().tolist() == [0, 1, 2]
    assert drawn[1].unique().tolist() == [0, 2]


@pytest.mark.parametrize(
    ("exponent", "expected"), [(0.75, [1000, 8000, 27_000]), (0.5, [1000, 4000, 9000])]
)
def test_popularity_draws_follow_counts_to_a_power(exponent: float, expected: list[int]) -> None:
    items = np.repeat(np.arange(4), [0, 1, 16, 81]).astype(np.int32)
    histories = Histories(np.arange(len(items) + 1), items)  # a user an event
    sampling = Sampling(sampler="popularity", exponent=exponent)
    nobody = torch.zeros(1, dtype=torch.int64)
    drawn = draw(Catalog(4, histories), sampling, nobody, sum(expected))
    counts = np.bincount(drawn.flatten(), minlength=4)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], expected, rtol=0.1)
