from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from automl_rec.plugin import Catalog, Layers, Pairs, Requests
from automl_rec.testing.planted import Planted
from automl_rec.training.trainer import train
from automl_rec_models.collaborative.mf import Mf
from automl_rec_models.losses import (
    binary_cross_entropy,
    calibrated_beta,
    cosine_contrastive,
    in_batch_softmax,
    sampled_softmax,
    warp,
)
from automl_rec_models.sampling import log_shares

CCL: dict[str, Any] = {"loss": "ccl", "negative_weight": 5.0, "margin": 0.2}
BATCH = Pairs(
    torch.tensor([1, 3, 5]), torch.tensor([4, 2, 4]), torch.tensor([[0, 1], [2, 7], [10, 3]])
)
SHARED = Pairs(BATCH.users, BATCH.items, torch.tensor([0, 5, 6, 9, 1]))


def built(catalog: Catalog, **hyperparameters: Any) -> Mf:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    settings: dict[str, Any] = {"width": 6, "regularization": 0.0} | hyperparameters
    model = Mf(catalog, layers, **settings)
    model.begin(catalog, torch.Generator())
    return model


def products(
    model: Mf, batch: Pairs, *, cosines: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positives (B,) and negatives (B, N) from all scores."""
    users, items = model.user.rows(), model.item.rows()
    if cosines:
        users, items = F.normalize(users, dim=1), F.normalize(items, dim=1)
    scores = users[batch.users] @ items.T
    negatives = batch.negatives.expand(len(batch.users), -1)
    return scores.gather(1, batch.items[:, None]).squeeze(1), scores.gather(1, negatives)


@pytest.mark.parametrize("batch", [BATCH, SHARED], ids=["own", "shared"])
def test_the_loss_is_that_of_the_scores(catalog: Catalog, batch: Pairs) -> None:
    count = batch.negatives.shape[-1]
    model = built(catalog, loss="bce")
    expected = binary_cross_entropy(*products(model, batch))
    torch.testing.assert_close(model.loss(batch), expected)
    model = built(catalog, loss="gbce", negatives=count, calibration=0.75)
    expected = binary_cross_entropy(*products(model, batch), calibrated_beta(count, 12, 0.75))
    torch.testing.assert_close(model.loss(batch), expected)
    model = built(catalog, **CCL)
    expected = cosine_contrastive(*products(model, batch, cosines=True), weight=5.0, margin=0.2)
    torch.testing.assert_close(model.loss(batch), expected)


def test_negatives_that_are_the_positive_count_for_nothing(catalog: Catalog) -> None:
    model = built(catalog, loss="sampled-softmax")
    positives, negatives = products(model, BATCH)
    negatives[1, 0] = -torch.inf  # user 3 drew his item 2
    torch.testing.assert_close(model.loss(BATCH), sampled_softmax(positives, negatives))
    model = built(catalog, loss="warp")
    expected = warp(positives, negatives, 12)
    assert expected != warp(positives, products(model, BATCH)[1], 12)
    torch.testing.assert_close(model.loss(BATCH), expected)


@pytest.mark.parametrize("draw", ["edge", "user"])
def test_in_batch_negatives_are_the_other_items_of_the_batch(catalog: Catalog, draw: Any) -> None:
    model = built(catalog, loss="in-batch", draw=draw)
    batch = Pairs(BATCH.users, BATCH.items, torch.empty(3, 0, dtype=torch.int64))
    scores = model.user.rows()[batch.users] @ model.item.rows()[batch.items].T
    shares = log_shares(catalog, draw)[batch.items]
    expected = in_batch_softmax(scores, batch.items, shares)
    torch.testing.assert_close(model.loss(batch), expected)


def test_the_softmax_is_over_all_items(catalog: Catalog) -> None:
    model = built(catalog, loss="softmax")
    batch = Pairs(BATCH.users, BATCH.items, torch.empty(3, 0, dtype=torch.int64))
    expected = F.cross_entropy(model.user.rows()[batch.users] @ model.item.rows().T, batch.items)
    torch.testing.assert_close(model.loss(batch), expected)


def test_rows_start_as_long_as_asked(catalog: Catalog) -> None:
    long, short = (built(catalog, start=start, **CCL).item.rows() for start in (0.1, 1e-3))
    torch.testing.assert_close(long, 100 * short)


@pytest.mark.parametrize("batch", [BATCH, SHARED], ids=["own", "shared"])
def test_the_penalty_is_half_the_mean_squared_lengths(catalog: Catalog, batch: Pairs) -> None:
    free, bound = (built(catalog, loss="bce", regularization=r) for r in (0.0, 2.0))
    users, items = bound.user.rows()[batch.users], bound.item.rows()
    squares = (users, items[batch.items], items[batch.negatives].reshape(-1, 6))
    expected = sum(part.square().sum(1).mean() for part in squares)
    torch.testing.assert_close(bound.loss(batch) - free.loss(batch), expected)


def test_cosines_do_not_depend_on_the_length_of_rows(catalog: Catalog) -> None:
    model = built(catalog, **CCL)
    before = model.loss(SHARED).item()
    with torch.no_grad():
        model.user.rows().mul_(3.0)
        model.item.rows()[4] *= 7.0
    assert model.loss(SHARED).item() == pytest.approx(before, rel=1e-5)


def test_cosines_are_served_while_training_and_afterwards(
    catalog: Catalog, everybody: Callable[[Catalog], Requests]
) -> None:
    model = built(catalog, **CCL).requires_grad_(requires_grad=False)
    rows = F.normalize(model.user.rows(), dim=1), F.normalize(model.item.rows(), dim=1)
    expected = rows[0] @ rows[1].T
    model.prepare()
    torch.testing.assert_close(model.scores(everybody(catalog)), expected)
    model.finish()
    for weight in (*model.user.weights(), *model.item.weights()):
        weight.freeze()
    model.prepare()
    torch.testing.assert_close(model.scores(everybody(catalog)), expected)
    torch.testing.assert_close(model.item.rows().norm(dim=1), torch.ones(12))


CASES: dict[str, tuple[float, dict[str, Any]]] = {
    "ccl": (
        5e-3,
        {
            "shared_negatives": 200,
            "negative_weight": 5.0,
            "margin": 0.4,
            "start": 0.05,
            "regularization": 1e-8,
        },
    ),
    "bce": (0.02, {"shared_negatives": 100}),
    "gbce": (0.02, {"negatives": 4, "sampler": "uniform-rejecting", "calibration": 0.75}),
    "sampled-softmax": (0.02, {"shared_negatives": 100}),
    "in-batch": (0.02, {}),
    "softmax": (0.02, {}),
    "warp": (0.02, {"shared_negatives": 50}),
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", CASES)
def test_on_planted_blocks_every_loss_beats_popularity(
    loss: Any, planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]
) -> None:
    catalog = planted.catalog
    rate, own = CASES[loss]
    settings: dict[str, Any] = {"width": 16, "regularization": 1e-4, "loss": loss} | own
    if "shared_negatives" in own:
        settings["sampler"] = "shared-uniform"
    model = Mf(catalog, Layers(catalog, torch.Generator().manual_seed(0)), **settings)
    training = {"learning_rate": rate, "batch_size": 512, "epochs": 25}
    whole = training | {"patience": 25, "evaluate_every": 25}
    train(model, catalog, lambda: (0.0, 0.0), settings=whole, seed=0)
    model.prepare()

    class Popular:
        @staticmethod
        def scores(requests: Requests) -> torch.Tensor:
            counts = torch.from_numpy(catalog.item_counts.astype(np.float32))
            return counts.expand(len(requests), -1)

    with torch.no_grad():
        assert ndcg_at_10(model, planted) > 2.5 * ndcg_at_10(Popular(), planted)
