from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from automl_rec.plugin import Catalog, Histories, Infeasible, Layers, Requests
from automl_rec.testing.planted import Planted
from automl_rec_models.collaborative.ease import Ease, _inverse, _regression
from automl_rec_models.collaborative.popularity import Popularity

Fit = Callable[..., Any]
Array = npt.NDArray[np.float64]


def ridge_by_column(x: Array, regularization: float) -> Array:
    """Column j of the solution: a ridge regression of item j on all others."""
    items = x.shape[1]
    solution = np.zeros((items, items))
    for item in range(items):
        others = np.delete(np.arange(items), item)
        stacked = np.vstack([x[:, others], np.sqrt(regularization) * np.eye(items - 1)])
        target = np.concatenate([x[:, item], np.zeros(items - 1)])
        solution[others, item] = np.linalg.lstsq(stacked, target)[0]
    return solution


@pytest.mark.parametrize("regularization", [1.0, 30.0])
def test_every_column_is_a_ridge_regression_on_the_other_items(
    fit: Fit, catalog: Catalog, regularization: float
) -> None:
    weights = fit(Ease, catalog, regularization=regularization).item_item.matrix.dense().numpy()
    expected = ridge_by_column(catalog.matrix.toarray().astype(np.float64), regularization)
    np.testing.assert_allclose(weights, expected, atol=2e-8)  # float32 of values below 0.3
    assert np.abs(expected).max() > 0.05


def test_with_fewer_users_than_items_the_small_inverse_gives_the_same(fit: Fit) -> None:
    x = (np.random.default_rng(3).random((9, 15)) < 0.4).astype(np.float64)
    indptr = np.concatenate([[0], x.sum(1).cumsum()]).astype(np.int64)
    catalog = Catalog(15, Histories(indptr, x.nonzero()[1].astype(np.int32)))
    weights = fit(Ease, catalog, regularization=2.0).item_item.matrix.dense().numpy()
    np.testing.assert_allclose(weights, ridge_by_column(x, 2.0), atol=2e-7)
    np.testing.assert_allclose(
        weights, _regression(_inverse(catalog.co_occurrence, 2.0)), atol=2e-7
    )


def test_the_inverse_keeps_float64_precision(catalog: Catalog) -> None:
    upper = _inverse(catalog.co_occurrence, 3.0)
    expected = np.linalg.inv(catalog.co_occurrence + 3.0 * np.eye(12))
    np.testing.assert_allclose(np.triu(upper), np.triu(expected), atol=1e-14)


def test_an_inverse_larger_than_a_block_is_mirrored_whole() -> None:
    generator = np.random.default_rng(0)
    half = generator.random((1100, 1100))
    full = half + half.T + 3000 * np.eye(1100)
    spoilt = np.triu(full) + np.tril(generator.random(full.shape), -1)
    expected = -full / np.diag(full)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_array_equal(_regression(spoilt), expected.astype(np.float32))


def test_the_catalog_is_left_as_it_was(fit: Fit, catalog: Catalog) -> None:
    before = catalog.co_occurrence.copy()
    fit(Ease, catalog, regularization=5.0)
    np.testing.assert_array_equal(catalog.co_occurrence, before)


def test_an_item_without_events_neither_gives_nor_gains(fit: Fit, catalog: Catalog) -> None:
    weights = fit(Ease, catalog, regularization=2.0).item_item.matrix.dense()
    assert not weights[11].any()
    assert not weights[:, 11].any()
    assert not weights.diagonal().any()


def test_strong_regularization_orders_by_co_occurrence(fit: Fit, planted: Planted) -> None:
    catalog, strength = planted.catalog, 1e9
    weights = fit(Ease, catalog, regularization=strength).item_item.matrix.dense().numpy()
    together = catalog.co_occurrence.copy()
    np.fill_diagonal(together, 0.0)
    np.testing.assert_allclose(weights * strength, together, rtol=1e-4, atol=1e-4)


def test_a_repeated_item_counts_once(fit: Fit, catalog: Catalog) -> None:
    model = fit(Ease, catalog, regularization=2.0)
    users, indptr = torch.tensor([1, 0, 7]), torch.tensor([0, 3, 3, 5])
    scores = model.scores(Requests(users, indptr, torch.tensor([4, 2, 4, 2, 4])))
    weights = model.item_item.matrix.dense()
    np.testing.assert_allclose(scores[0], weights[2] + weights[4], rtol=1e-5)
    np.testing.assert_allclose(scores[2], scores[0], rtol=1e-5)
    assert not scores[1].any()


def test_scores_are_the_product_with_the_binary_matrix(
    fit: Fit, catalog: Catalog, everybody: Callable[[Catalog], Requests]
) -> None:
    model = fit(Ease, catalog, regularization=2.0)
    expected = catalog.matrix.toarray() @ model.item_item.matrix.dense().numpy()
    np.testing.assert_allclose(model.scores(everybody(catalog)), expected, atol=1e-6)


def test_more_items_than_memory_holds_are_refused_before_they_cost() -> None:
    catalog = Catalog(30_000_000, Histories(np.array([0, 1]), np.array([0], np.int32)))
    with pytest.raises(Infeasible, match=r"ease needs 10,800,001.1 GB .* 30,000,000 items, but"):
        Ease(catalog, Layers(catalog, torch.Generator()), regularization=1.0)
    with torch.device("meta"):
        priced = Ease(catalog, Layers(catalog, torch.Generator()), regularization=1.0)
    assert priced.item_item.price().bytes.low == 4 * 30_000_000**2


def test_planted_blocks_are_found(
    fit: Fit, planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]
) -> None:
    quality = ndcg_at_10(fit(Ease, planted.catalog, regularization=100.0), planted)
    assert quality >= 0.35
    assert quality >= 2.5 * ndcg_at_10(fit(Popularity, planted.catalog), planted)
