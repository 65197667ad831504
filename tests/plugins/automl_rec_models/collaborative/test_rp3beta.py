from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from automl_rec.plugin import Catalog, Requests
from automl_rec.testing.planted import Planted
from automl_rec_models.collaborative import nearest
from automl_rec_models.collaborative.popularity import Popularity
from automl_rec_models.collaborative.rp3beta import Rp3Beta

Fit = Callable[..., Any]
SETTINGS = {"alpha": 1.0, "beta": 0.6, "neighbours": 500, "normalise": False}


def slow(catalog: Catalog, alpha: float, beta: float) -> npt.NDArray[np.float64]:
    """Entry (i, j) by walking from every user of i to every item j of his."""
    lists = [set(catalog.histories.of(user).tolist()) for user in range(catalog.num_users)]
    counts = [sum(item in items for items in lists) for item in range(catalog.num_items)]
    weights = np.zeros((catalog.num_items, catalog.num_items))
    for items in lists:
        for i in items:
            for j in items - {i}:
                weights[i, j] += (counts[i] * len(items)) ** -alpha * counts[j] ** -beta
    return weights


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.6), (0.5, 1.3), (0.0, 0.0)])
def test_weights_are_those_of_all_walks(
    fit: Fit, catalog: Catalog, alpha: float, beta: float
) -> None:
    model = fit(Rp3Beta, catalog, **SETTINGS | {"alpha": alpha, "beta": beta})
    np.testing.assert_allclose(
        model.item_item.matrix.dense().numpy(), slow(catalog, alpha, beta), rtol=1e-6
    )


def test_an_item_gains_from_its_nearest_alone(fit: Fit, catalog: Catalog) -> None:
    model = fit(Rp3Beta, catalog, **SETTINGS | {"neighbours": 3})
    whole = slow(catalog, 1.0, 0.6)
    kept = np.argsort(-whole, axis=0, kind="stable")[:3]
    expected = np.zeros_like(whole)
    np.put_along_axis(expected, kept, np.take_along_axis(whole, kept, 0), 0)
    np.testing.assert_allclose(model.item_item.matrix.dense().numpy(), expected, rtol=1e-6)


def test_normalised_items_give_1_in_all(fit: Fit, catalog: Catalog) -> None:
    plain, even = (
        fit(Rp3Beta, catalog, **SETTINGS | {"neighbours": 4, "normalise": n}).item_item.matrix
        for n in (False, True)
    )
    sums = plain.dense().sum(1, keepdim=True)
    torch.testing.assert_close(even.dense(), plain.dense() / sums.where(sums > 0, 1.0))
    assert even.dense().sum(1).max() == pytest.approx(1.0)


def test_the_weights_are_those_of_irspack(fit: Fit, planted: Planted) -> None:
    rp3 = pytest.importorskip("irspack.recommenders.rp3")
    catalog = planted.catalog
    theirs = rp3.RP3betaRecommender(catalog.matrix, alpha=1.0, beta=0.6, n_threads=1).learn().W
    expected = theirs.toarray()
    np.fill_diagonal(expected, 0.0)
    found = fit(Rp3Beta, catalog, **SETTINGS).item_item.matrix.dense().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)
    assert np.count_nonzero(expected) > 90_000


def test_small_chunks_give_the_same_weights(
    fit: Fit, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS | {"neighbours": 10}
    whole = fit(Rp3Beta, planted.catalog, **settings).item_item.matrix.dense()
    monkeypatch.setattr(nearest, "CHUNK_PRODUCTS", 1500)
    assert torch.equal(whole, fit(Rp3Beta, planted.catalog, **settings).item_item.matrix.dense())


def test_scores_are_sums_over_known_items(
    fit: Fit, catalog: Catalog, everybody: Callable[[Catalog], Requests]
) -> None:
    expected = catalog.matrix.toarray() @ slow(catalog, 1.0, 0.6)
    scores = fit(Rp3Beta, catalog, **SETTINGS).scores(everybody(catalog))
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)


def test_on_planted_blocks_it_beats_popularity(
    fit: Fit, planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]
) -> None:
    found = ndcg_at_10(fit(Rp3Beta, planted.catalog, **SETTINGS | {"neighbours": 100}), planted)
    assert found > 2.5 * ndcg_at_10(fit(Popularity, planted.catalog), planted)
