from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import Catalog, Histories, Layers, Pairs, Requests
from automl_rec.testing.planted import Planted
from automl_rec.training.trainer import train
from automl_rec_models.collaborative.mf import Mf
from automl_rec_models.collaborative.simplex import SimpleX

Everybody = Callable[[Catalog], Requests]
AGGREGATIONS = ["mean", "user-attention", "self-attention"]
CONTRAST: dict[str, Any] = {
    "width": 4,
    "sampler": "shared-uniform",
    "shared_negatives": 5,
    "negative_weight": 2.0,
    "margin": 0.1,
    "regularization": 1e-3,
}
MIXING: dict[str, Any] = {
    "history": "mean",
    "own_share": 0.6,
    "length": 50,
    "dropout": 0.0,
    "start": 0.5,
}
SETTINGS = {
    "learning_rate": 0.01,
    "batch_size": 512,
    "epochs": 15,
    "patience": 15,
    "evaluate_every": 15,
}


def model_of(catalog: Catalog, **changes: Any) -> SimpleX:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    model = SimpleX(catalog, layers, **CONTRAST | MIXING | changes)
    model.begin(catalog, torch.Generator())
    return model


def mixed(model: SimpleX, user: int, known: list[int]) -> Tensor:
    """z_u of a user who met ``known``, by the equations."""
    own, items = model.user.rows()[user], model.item.rows()
    met = torch.zeros(4)
    if known:
        rows = items[known]
        shares = torch.full((len(known),), 1 / len(known))
        if model.key is not None:
            asked = own if model.query is None else model.query
            shares = (torch.tanh(model.key(rows)) @ asked).softmax(0)
        met = shares @ rows
    assert model.value is not None
    result: Tensor = 0.6 * own + 0.4 * model.value(met)
    return result


@torch.no_grad()
def scored(model: SimpleX, requests: Requests) -> Tensor:
    model.prepare()
    return model.scores(requests)


@pytest.mark.parametrize("history", AGGREGATIONS)
def test_scores_are_cosines_of_mixed_users(
    catalog: Catalog, everybody: Everybody, history: str
) -> None:
    model = model_of(catalog, history=history)
    histories = catalog.histories
    users = [mixed(model, u, histories.of(u).tolist()) for u in range(catalog.num_users)]
    expected = F.cosine_similarity(torch.stack(users)[:, None], model.item.rows(), dim=2)
    torch.testing.assert_close(scored(model, everybody(catalog)), expected.detach())


@pytest.mark.parametrize("history", AGGREGATIONS)
def test_a_positive_is_no_part_of_its_history(catalog: Catalog, history: str) -> None:
    batch = batch_of(catalog)
    model = model_of(catalog, history=history)
    expected = by_hand(model, catalog, batch, target_in_history=False)
    torch.testing.assert_close(model.loss(batch), expected)
    leaky = model_of(catalog, history=history, target_in_history=True)
    expected = by_hand(leaky, catalog, batch, target_in_history=True)
    torch.testing.assert_close(leaky.loss(batch), expected)


def batch_of(catalog: Catalog) -> Pairs:
    """Users 1 (who met the positive twice), 5 and 6, each with one of his items."""
    users = torch.tensor([1, 5, 6])
    items = torch.tensor([catalog.histories.of(u)[0] for u in users.tolist()])
    return Pairs(users, items.long(), torch.tensor([3, 0, 7, 7, 2]))


def by_hand(model: SimpleX, catalog: Catalog, batch: Pairs, *, target_in_history: bool) -> Tensor:
    rows, losses = model.item.rows(), []
    far = rows[batch.negatives]
    for user, item in zip(batch.users.tolist(), batch.items.tolist(), strict=True):
        known = [k for k in catalog.histories.of(user).tolist() if target_in_history or k != item]
        z = mixed(model, user, known)
        near = F.cosine_similarity(z, rows[item], dim=0)
        losses.append(1 - near + 2 * F.relu(F.cosine_similarity(z, far, dim=1) - 0.1).mean())
        squares = model.user.rows()[user].square().sum() + rows[item].square().sum()
        losses[-1] = losses[-1] + 1e-3 / 2 * (squares + far.square().sum(1).mean())
    return torch.stack(losses).mean()


def test_only_the_last_items_are_read(catalog: Catalog, everybody: Everybody) -> None:
    model = model_of(catalog, length=2)
    histories = catalog.histories
    users = [mixed(model, u, histories.of(u)[-2:].tolist()) for u in range(catalog.num_users)]
    expected = F.cosine_similarity(torch.stack(users)[:, None], model.item.rows(), dim=2)
    torch.testing.assert_close(scored(model, everybody(catalog)), expected.detach())


@pytest.mark.parametrize("history", AGGREGATIONS)
def test_an_empty_history_keeps_loss_and_slopes_finite(history: str) -> None:
    """The only item of user 0 is the positive; user 1 has none."""
    catalog = Catalog(3, Histories(np.array([0, 1, 1]), np.array([2], np.int32)))
    model = model_of(catalog, history=history)
    loss = model.loss(Pairs(torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([1])))
    loss.backward()
    assert loss.isfinite()
    slopes = [part.grad for part in model.parameters() if part.grad is not None]
    assert all(slope.isfinite().all() for slope in slopes)
    assert len(slopes) >= 2


def test_the_loss_is_zero_where_positives_fit_and_negatives_do_not(catalog: Catalog) -> None:
    model = model_of(catalog, own_share=1.0, regularization=0.0)
    users, items = torch.zeros(40, 4), torch.zeros(12, 4)
    users[:, 0], items[:, 1] = 2.0, 1.0
    items[4] = torch.tensor([3.0, 0.0, 0.0, 0.0])
    model.user.assign(users)
    model.item.assign(items)
    batch = Pairs(torch.tensor([0, 1]), torch.tensor([4, 4]), torch.tensor([0, 5, 11]))
    assert model.loss(batch).item() == 0.0


def test_users_of_any_length_are_scored_alike_without_history(
    catalog: Catalog, everybody: Everybody
) -> None:
    model = model_of(catalog, own_share=1.0)
    before = scored(model, everybody(catalog))
    model.user.assign(7 * model.user.rows())
    torch.testing.assert_close(scored(model, everybody(catalog)), before)


@pytest.mark.parametrize("sampler", ["shared-uniform", "uniform"])
def test_without_history_it_is_matrix_factorisation_with_its_loss(
    catalog: Catalog, everybody: Everybody, sampler: str
) -> None:
    model = model_of(catalog, own_share=1.0)
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    plain = Mf(catalog, layers, loss="ccl", **CONTRAST)
    plain.user.assign(model.user.rows())
    plain.item.assign(model.item.rows())
    plain.begin(catalog, torch.Generator())
    batch = batch_of(catalog)
    if sampler == "uniform":
        batch = Pairs(batch.users, batch.items, torch.tensor([[3, 0], [7, 7], [2, 5]]))
    losses = [each.loss(batch) for each in (model, plain)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    with torch.no_grad():
        plain.prepare()
        torch.testing.assert_close(
            scored(model, everybody(catalog)), plain.scores(everybody(catalog))
        )


@pytest.mark.slow
@pytest.mark.parametrize("history", AGGREGATIONS)
def test_on_planted_blocks_it_beats_popularity(
    planted: Planted, ndcg_at_10: Callable[[Any, Planted], float], history: str
) -> None:
    changes = {"width": 16, "shared_negatives": 100, "margin": 0.4, "negative_weight": 5.0}
    model = model_of(planted.catalog, history=history, **changes, start=1e-4)
    train(model, planted.catalog, lambda: (0.0, 0.0), settings=SETTINGS, seed=0)
    model.requires_grad_(requires_grad=False)
    with torch.no_grad():
        model.prepare()
    assert ndcg_at_10(model, planted) > 4 * popularity(planted, ndcg_at_10)


def popularity(planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]) -> float:
    class Popular:
        @staticmethod
        def scores(requests: Requests) -> Tensor:
            counts = torch.from_numpy(planted.catalog.item_counts.astype(np.float32))
            return counts.expand(len(requests), -1)

    return ndcg_at_10(Popular(), planted)
