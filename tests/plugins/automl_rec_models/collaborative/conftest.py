"""Closed forms are fitted here without the engine, and ranked by a slow loop."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from automl_rec.plugin import Catalog, ClosedFormModel, Histories, Layers, Requests
from automl_rec.testing.planted import Planted, planted_interactions

Fit = Callable[..., Any]
Quality = Callable[[ClosedFormModel, Planted], float]


@pytest.fixture(scope="session")
def planted() -> Planted:
    return planted_interactions(seed=0)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """40 users and 12 items: item 11 has no event, user 0 has none, user 1 repeats one item."""
    generator = np.random.default_rng(3)
    lists = [np.flatnonzero(generator.random(11) < 0.35) for _ in range(40)]
    lists[0], lists[1] = np.array([], np.int64), np.array([4, 2, 4])
    indptr = np.concatenate([[0], np.cumsum([len(items) for items in lists])])
    return Catalog(12, Histories(indptr, np.concatenate(lists).astype(np.int32)))


@pytest.fixture(scope="session")
def fit() -> Fit:
    """Fits a model class to a catalog from a seed."""

    def fitted(model: type[Any], catalog: Catalog, *, seed: int = 0, **hyperparameters: Any) -> Any:
        built = model(
            catalog, Layers(catalog, torch.Generator().manual_seed(seed)), **hyperparameters
        )
        built.fit(catalog, torch.Generator().manual_seed(seed + 1))
        built.finish()
        return built.requires_grad_(requires_grad=False)

    return fitted


@pytest.fixture(scope="session")
def everybody() -> Callable[[Catalog], Requests]:
    """Asks for every user, with his train items known."""
    return requests_of


@pytest.fixture(scope="session")
def ndcg_at_10() -> Quality:
    """NDCG@10 of held-out items among all those unknown, user by user."""

    def mean(model: ClosedFormModel, planted: Planted) -> float:
        scores = model.scores(requests_of(planted.catalog)).numpy()
        users = range(planted.catalog.num_users)
        return float(np.mean([one(scores[u], planted, u) for u in users]))

    def one(scores: Any, planted: Planted, user: int) -> float:
        relevant = set(planted.heldout.of(user).tolist())
        known = set(planted.catalog.histories.of(user).tolist())
        unknown = [item for item in np.argsort(-scores, kind="stable") if int(item) not in known]
        gains = [1 / math.log2(2 + place) for place in range(10)]
        found = sum(gains[place] for place, item in enumerate(unknown[:10]) if item in relevant)
        return found / sum(gains[: len(relevant)])

    return mean


def requests_of(catalog: Catalog) -> Requests:
    histories = catalog.histories
    items = torch.from_numpy(histories.items.astype(np.int64))
    return Requests(
        torch.arange(catalog.num_users), torch.from_numpy(histories.indptr.astype(np.int64)), items
    )
