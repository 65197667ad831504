import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from automl_rec.plugin import Catalog, Layers, Requests
from automl_rec.testing.planted import Planted
from automl_rec_models.collaborative.popularity import Popularity
from automl_rec_models.collaborative.user_knn import UserKnn

Fit = Callable[..., Any]


def slow(
    catalog: Catalog, user: int, known: set[int], neighbours: int, shrinkage: float
) -> npt.NDArray[np.float64]:
    """Scores of one user who knows these items, by comparing sets."""
    others = {v: set(catalog.histories.of(v).tolist()) for v in range(catalog.num_users)}
    del others[user]
    near = {
        v: len(known & items) / (math.sqrt(len(known) * len(items)) + shrinkage)
        for v, items in others.items()
        if known & items
    }
    scores = np.zeros(catalog.num_items)
    for v in sorted(near, key=lambda v: (-near[v], v))[:neighbours]:
        scores[list(others[v])] += near[v]
    return scores


@pytest.mark.parametrize(("neighbours", "shrinkage"), [(3, 0.0), (5, 2.0), (100, 0.0)])
def test_scores_are_summed_similarities_of_the_nearest_users(
    fit: Fit,
    catalog: Catalog,
    everybody: Callable[[Catalog], Requests],
    neighbours: int,
    shrinkage: float,
) -> None:
    model = fit(UserKnn, catalog, neighbours=neighbours, shrinkage=shrinkage)
    model.prepare()
    found = model.scores(everybody(catalog)).numpy()
    for user in range(catalog.num_users):
        known = set(catalog.histories.of(user).tolist())
        expected = slow(catalog, user, known, neighbours, shrinkage)
        np.testing.assert_allclose(found[user], expected, rtol=1e-5, atol=1e-6)


def test_what_a_user_met_after_training_counts(fit: Fit, catalog: Catalog) -> None:
    model = fit(UserKnn, catalog, neighbours=4, shrinkage=0.0)
    model.prepare()
    request = Requests(torch.tensor([0]), torch.tensor([0, 3]), torch.tensor([7, 1, 7]))
    expected = slow(catalog, 0, {1, 7}, 4, 0.0)
    np.testing.assert_allclose(model.scores(request).numpy()[0], expected, rtol=1e-5)
    assert expected.any()


def test_the_scores_are_those_of_irspack(
    fit: Fit, planted: Planted, everybody: Callable[[Catalog], Requests]
) -> None:
    knn = pytest.importorskip("irspack.recommenders.user_knn")
    catalog = planted.catalog
    theirs = knn.CosineUserKNNRecommender(
        catalog.matrix, shrinkage=0.0, normalize=True, top_k=600, n_threads=1
    ).learn()
    model = fit(UserKnn, catalog, neighbours=600, shrinkage=0.0)
    model.prepare()
    found = model.scores(everybody(catalog)).numpy()
    expected = theirs.get_score(np.arange(600))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_everybodys_items_are_counted_among_the_bytes(catalog: Catalog) -> None:
    model = UserKnn(catalog, Layers(catalog, torch.Generator()), neighbours=3, shrinkage=0.0)
    stored = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert stored == (41 if catalog.matrix.nnz < 256 else 82) + catalog.matrix.nnz


def test_on_planted_blocks_it_beats_popularity(
    fit: Fit, planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]
) -> None:
    model = fit(UserKnn, planted.catalog, neighbours=100, shrinkage=0.0)
    model.prepare()
    found = ndcg_at_10(model, planted)
    assert found > 2.5 * ndcg_at_10(fit(Popularity, planted.catalog), planted)


def test_places_outside_of_the_items_are_refused(fit: Fit, catalog: Catalog) -> None:
    model = fit(UserKnn, catalog, neighbours=4, shrinkage=0.0)
    model.items[0] = catalog.num_items
    with pytest.raises(ValueError, match=r"ind(ex|ices)"):
        model.prepare()
