from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from automl_rec.plugin import Catalog, Layers, Requests
from automl_rec.testing.planted import Planted
from automl_rec.training.trainer import train
from automl_rec_models.collaborative.bpr_mf import BprMf
from automl_rec_models.collaborative.lightgcn import LightGcn

HYPERPARAMETERS: dict[str, Any] = {"width": 16, "regularization": 1e-4}
SETTINGS = {
    "learning_rate": 0.02,
    "batch_size": 1024,
    "epochs": 40,
    "patience": 40,
    "evaluate_every": 40,
}


def trained(model: type[Any], catalog: Catalog, epochs: int = 40, **hyperparameters: Any) -> Any:
    built = model(catalog, Layers(catalog, torch.Generator().manual_seed(0)), **hyperparameters)
    settings = SETTINGS | {"epochs": epochs}
    train(built, catalog, lambda: (0.0, 0.0), settings=settings, seed=0)
    return built.requires_grad_(requires_grad=False)


def test_scores_are_inner_products(
    catalog: Catalog, everybody: Callable[[Catalog], Requests]
) -> None:
    model = trained(BprMf, catalog, 1, width=4, regularization=0.1, negatives=4)
    expected = model.user.rows() @ model.item.rows().T
    torch.testing.assert_close(model.scores(everybody(catalog)), expected)


def test_regularisation_shortens_rows(catalog: Catalog) -> None:
    lengths = [
        float(
            trained(BprMf, catalog, negatives=1, width=4, regularization=strength)
            .user.rows()
            .norm()
        )
        for strength in (1e-7, 1.0)
    ]
    assert lengths[1] < 0.2 * lengths[0]


def test_lightgcn_without_layers_is_bpr_mf_bit_for_bit(planted: Planted) -> None:
    catalog = planted.catalog
    ours = trained(LightGcn, catalog, 2, layers=0, combine="mean", **HYPERPARAMETERS)
    theirs = trained(BprMf, catalog, 2, negatives=1, **HYPERPARAMETERS)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    assert len(pairs) == 2


@pytest.mark.slow
def test_on_planted_blocks_it_beats_popularity_and_lightgcn_beats_it(
    planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]
) -> None:
    catalog = planted.catalog
    factors = trained(BprMf, catalog, negatives=1, **HYPERPARAMETERS)
    graph = trained(LightGcn, catalog, layers=2, combine="mean", **HYPERPARAMETERS)
    graph.prepare()

    class Popular:
        @staticmethod
        def scores(requests: Requests) -> torch.Tensor:
            counts = torch.from_numpy(catalog.item_counts.astype(np.float32))
            return counts.expand(len(requests), -1)

    popularity = ndcg_at_10(Popular(), planted)
    assert ndcg_at_10(factors, planted) > 2.5 * popularity
    assert ndcg_at_10(graph, planted) > ndcg_at_10(factors, planted)
