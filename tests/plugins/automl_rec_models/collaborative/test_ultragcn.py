import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import Catalog, Histories, Layers, Pairs
from automl_rec.testing.planted import Planted
from automl_rec.training.trainer import train
from automl_rec_models.collaborative.ultragcn import UltraGcn

HYPERPARAMETERS: dict[str, Any] = {
    "width": 4,
    "negative_weight": 30.0,
    "base_positive": 1e-2,
    "degree_positive": 0.5,
    "base_negative": 2e-2,
    "degree_negative": 0.8,
    "regularization": 1e-3,
    "decay": "batch",
    "neighbours": 5,
    "neighbour_weight": 0.7,
    "shared_negatives": 3,
    "start": 0.3,
}
SETTINGS = {
    "learning_rate": 0.01,
    "batch_size": 512,
    "epochs": 30,
    "patience": 30,
    "evaluate_every": 30,
}


def model_of(catalog: Catalog, **changes: Any) -> UltraGcn:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    model = UltraGcn(catalog, layers, **HYPERPARAMETERS | changes)
    model.begin(catalog, torch.Generator())
    return model


def published_loss(model: UltraGcn, catalog: Catalog, batch: Pairs) -> float:
    """Equation by equation, positive by positive, in plain numbers."""
    users, items = (table.rows().detach().double().numpy() for table in (model.user, model.item))
    degrees, counts = catalog.user_counts, catalog.item_counts
    dense = catalog.matrix.toarray().astype(float)
    shared = dense.T @ dense
    sums = shared.sum(1)

    def beta(u: int, i: int) -> float:
        return float(math.sqrt((degrees[u] + 1) / (counts[i] + 1)) / degrees[u])

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    total = squares = 0.0
    negatives = batch.negatives.expand(len(batch.users), -1)
    for u, i, others in zip(
        batch.users.tolist(), batch.items.tolist(), negatives.tolist(), strict=True
    ):
        scores = items @ users[u]
        total += (1e-2 + 0.5 * beta(u, i)) * softplus(-scores[i])
        far = [(2e-2 + 0.8 * beta(u, j)) * softplus(scores[j]) for j in others]
        total += 30 * float(np.mean(far))
        near = [
            shared[i, j] / sums[i] * math.sqrt((sums[i] + 1) / (sums[j] + 1)) for j in range(12)
        ]
        for j in np.argsort(-np.array(near), kind="stable")[:5]:
            total += 0.7 * near[j] * softplus(-scores[j])
        squares += users[u] @ users[u] + items[i] @ items[i]
        squares += float(np.mean([items[j] @ items[j] for j in others]))
    if model.decay == "all":
        squares = float((users**2).sum() + (items**2).sum())
    return float(total + 1e-3 / 2 * squares)


@pytest.mark.parametrize("decay", ["batch", "all"])
@pytest.mark.parametrize("negatives", [[3, 8, 3], [[3, 8, 0], [1, 1, 2], [5, 6, 7], [0, 9, 11]]])
def test_the_loss_is_the_published_one(catalog: Catalog, negatives: Any, decay: str) -> None:
    model = model_of(catalog, decay=decay)
    batch = Pairs(torch.tensor([1, 7, 7, 30]), torch.tensor([4, 2, 9, 10]), torch.tensor(negatives))
    assert model.loss(batch).item() == pytest.approx(
        published_loss(model, catalog, batch), rel=1e-5
    )


def test_with_bases_alone_it_is_binary_cross_entropy(catalog: Catalog) -> None:
    bases = {"base_positive": 1.0, "base_negative": 1.0, "negative_weight": 3.0}
    nothing = {"degree_positive": 0.0, "degree_negative": 0.0, "regularization": 0.0}
    model = model_of(catalog, neighbours=0, **bases, **nothing)
    users, items = torch.tensor([1, 2, 3]), torch.tensor([0, 1, 2])
    negatives = torch.tensor([[4, 5, 6], [0, 0, 1], [9, 10, 11]])
    scores = model.user.rows() @ model.item.rows().T
    logits = scores[users[:, None], torch.cat([items[:, None], negatives], 1)]
    labels = torch.eye(4)[0].expand(3, -1)
    expected = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    torch.testing.assert_close(model.loss(Pairs(users, items, negatives)), expected)


def test_users_and_items_without_degree_keep_everything_finite() -> None:
    """Nobody met item 1, user 1 met nothing."""
    indptr, items = np.array([0, 2, 2]), np.array([0, 2], np.int32)
    model = model_of(Catalog(3, Histories(indptr, items)))
    batch = Pairs(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([0, 1, 2]))
    loss = model.loss(batch)
    loss.backward()
    assert loss.isfinite()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in model.parameters())


def test_a_popular_start_is_where_items_stay_if_users_are_alike(catalog: Catalog) -> None:
    still = {"neighbours": 0, "regularization": 0.0, "start": 0.0}
    model = model_of(catalog, popular_start=True, **still)
    matrix = catalog.matrix.tocoo()
    users, items = torch.from_numpy(matrix.row).long(), torch.from_numpy(matrix.col).long()
    loss = model.loss(Pairs(users, items, torch.arange(12)))
    (slope,) = torch.autograd.grad(loss, model.item.weights()[0].trainable)
    scores = model.user.rows() @ model.item.rows().T
    assert torch.equal(scores, scores[:1].expand(40, -1))
    assert scores.std() > 0.1
    assert slope[:11].abs().max() < 1e-4 < slope[11].abs().max()
    assert scores[0, 11] <= scores.min()


def test_the_graph_of_items_is_no_part_of_what_is_stored(catalog: Catalog) -> None:
    assert len(model_of(catalog).state_dict()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("neighbours", [0, 10])
def test_on_planted_blocks_it_beats_popularity(
    planted: Planted, ndcg_at_10: Callable[[Any, Planted], float], neighbours: int
) -> None:
    weights = {"base_positive": 1e-6, "degree_positive": 1.0, "neighbour_weight": 1e-3}
    negatives = {"base_negative": 1e-6, "degree_negative": 1.0, "shared_negatives": 200}
    model = model_of(
        planted.catalog, width=16, neighbours=neighbours, **weights, **negatives, start=1e-3
    )
    train(model, planted.catalog, lambda: (0.0, 0.0), settings=SETTINGS, seed=0)
    model.requires_grad_(requires_grad=False)
    assert ndcg_at_10(model, planted) > 4 * popularity(planted, ndcg_at_10)


def popularity(planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]) -> float:
    class Popular:
        @staticmethod
        def scores(requests: Any) -> Tensor:
            counts = torch.from_numpy(planted.catalog.item_counts.astype(np.float32))
            return counts.expand(len(requests), -1)

    return ndcg_at_10(Popular(), planted)
