import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from automl_rec.plugin import Catalog, CsrMatrix, Histories, Layers, Requests
from automl_rec.testing.planted import Planted
from automl_rec_models.collaborative import nearest
from automl_rec_models.collaborative.item_knn import ItemKnn
from automl_rec_models.collaborative.popularity import Popularity

Fit = Callable[..., Any]
SETTINGS: list[dict[str, Any]] = [
    {"weighting": "cosine", "neighbours": 4},
    {"weighting": "cosine", "neighbours": 3, "shrinkage": 2.5},
    {"weighting": "tf-idf", "neighbours": 4, "shrinkage": 1.0},
    {"weighting": "bm25", "neighbours": 4, "saturation": 2.0, "length_weight": 0.5},
]


def similarity(catalog: Catalog, one: int, other: int, settings: dict[str, Any]) -> float:
    """Pair by pair, user by user."""
    of_users = [set(catalog.histories.of(user).tolist()) for user in range(catalog.num_users)]

    def weight(user: int, item: int) -> float:
        if item not in of_users[user]:
            return 0.0
        if settings["weighting"] == "cosine":
            return 1.0
        rarity = math.log(1 + catalog.num_items / len(of_users[user]))
        if settings["weighting"] == "tf-idf":
            return rarity
        counts = [sum(i in met for met in of_users) for i in range(catalog.num_items)]
        k1, b = float(settings["saturation"]), float(settings["length_weight"])
        length = 1 - b + b * counts[item] * len(counts) / sum(counts)
        return rarity * (k1 + 1) / (k1 * length + 1)

    users = range(catalog.num_users)
    first, second = ([weight(user, item) for user in users] for item in (one, other))
    product = dot(first, second)
    if settings["weighting"] == "bm25" or product == 0:
        return product
    lengths = math.sqrt(dot(first, first) * dot(second, second))
    return product / (lengths + float(settings.get("shrinkage", 0.0)))


def dot(first: list[float], second: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(first, second, strict=True))


def slow(catalog: Catalog, settings: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Column j holds the nearest neighbours of item j."""
    weights = np.zeros((catalog.num_items, catalog.num_items))
    for item in range(catalog.num_items):
        others = [i for i in range(catalog.num_items) if i != item]
        near = {i: similarity(catalog, item, i, settings) for i in others}
        for i in sorted(others, key=lambda i: (-round(near[i], 6), i))[: settings["neighbours"]]:
            weights[i, item] = near[i]
    return weights


@pytest.mark.parametrize("settings", SETTINGS)
def test_weights_are_the_similarities_of_nearest_neighbours(
    fit: Fit, catalog: Catalog, settings: dict[str, Any]
) -> None:
    weights = fit(ItemKnn, catalog, **settings).item_item.matrix.dense().numpy()
    expected = slow(catalog, settings)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert np.count_nonzero(expected) > 20


def test_of_equal_neighbours_the_first_are_kept(fit: Fit) -> None:
    everything = Histories(np.array([0, 5, 10]), np.tile(np.arange(5, dtype=np.int32), 2))
    weights = fit(ItemKnn, Catalog(5, everything), weighting="cosine", neighbours=2)
    neighbours = [row.nonzero()[:, 0].tolist() for row in weights.item_item.matrix.dense().T]
    assert neighbours == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]


def test_small_chunks_give_the_same_weights(
    fit: Fit, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(ItemKnn, planted.catalog, weighting="tf-idf", neighbours=10).item_item.matrix
    monkeypatch.setattr(nearest, "CHUNK_PRODUCTS", 1500)
    parts = fit(ItemKnn, planted.catalog, weighting="tf-idf", neighbours=10).item_item.matrix
    assert torch.equal(whole.dense(), parts.dense())


def test_price_bounds_what_is_stored(fit: Fit, planted: Planted) -> None:
    model = fit(ItemKnn, planted.catalog, weighting="cosine", neighbours=10)
    stored = sum(tensor.nbytes for tensor in model.state_dict().values())
    price = ItemKnn(
        planted.catalog,
        Layers(planted.catalog, torch.Generator()),
        weighting="cosine",
        neighbours=10,
    ).item_item.price()
    assert isinstance(model.item_item.matrix, CsrMatrix)
    assert price.bytes.low <= stored <= price.bytes.high
    assert stored == model.item_item.matrix.form().bytes.low


def test_neighbours_beyond_all_items_are_no_more(fit: Fit, catalog: Catalog) -> None:
    many = fit(ItemKnn, catalog, weighting="cosine", neighbours=500).item_item
    assert many.limit == 12 * 11
    together = catalog.co_occurrence > 0
    np.fill_diagonal(together, val=False)
    np.testing.assert_array_equal(many.matrix.dense().numpy() > 0, together)


def test_a_known_item_speaks_once_for_those_it_is_a_neighbour_of(
    fit: Fit, catalog: Catalog
) -> None:
    model = fit(ItemKnn, catalog, weighting="cosine", neighbours=4)
    asked = Requests(torch.tensor([1, 0]), torch.tensor([0, 3, 3]), torch.tensor([4, 2, 4]))
    weights, scores = model.item_item.matrix.dense(), model.scores(asked)
    np.testing.assert_allclose(scores[0], weights[2] + weights[4], rtol=1e-5)
    assert not scores[1].any()


@pytest.mark.parametrize("weighting", ["cosine", "tf-idf", "bm25"])
def test_planted_blocks_are_found(
    fit: Fit, planted: Planted, ndcg_at_10: Callable[[Any, Planted], float], weighting: str
) -> None:
    model = fit(ItemKnn, planted.catalog, weighting=weighting, neighbours=20)
    popularity = ndcg_at_10(fit(Popularity, planted.catalog), planted)
    assert ndcg_at_10(model, planted) >= 2.5 * popularity
