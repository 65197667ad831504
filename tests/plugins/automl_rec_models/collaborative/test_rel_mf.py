import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from automl_rec.plugin import Catalog, Layers, Pairs
from automl_rec.testing.planted import Planted
from automl_rec.training.trainer import train
from automl_rec_models.collaborative.popularity import Popularity
from automl_rec_models.collaborative.rel_mf import Error, RelMf, weighted_error

SETTINGS: dict[str, Any] = {
    "width": 6,
    "error": "mse",
    "exponent": 0.5,
    "clip": 0.1,
    "regularization": 0.0,
}
BATCH = Pairs(torch.tensor([1, 3, 5]), torch.tensor([4, 2, 4]), torch.empty(3, 0))


def built(catalog: Catalog, **changed: Any) -> RelMf:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    model = RelMf(catalog, layers, **SETTINGS | changed)
    model.begin(catalog, torch.Generator())
    return model


def errors(score: float, error: Error) -> tuple[float, float]:
    """As relevant, as irrelevant."""
    r = 1 / (1 + math.exp(-score))
    return ((1 - r) ** 2, r**2) if error == "mse" else (-math.log(r), -math.log(1 - r))


def one(score: float, weight: float, error: Error) -> float:
    given = torch.tensor([[score], [weight]], dtype=torch.float64)
    return weighted_error(given[0], given[1], error).item()


@pytest.mark.parametrize("error", ["mse", "bce"])
@pytest.mark.parametrize("relevance", [0.0, 0.4, 1.0])
def test_over_exposures_the_loss_is_that_of_true_relevance(error: Error, relevance: float) -> None:
    seen, score = 0.3, 0.7
    irrelevant = one(score, 0.0, error)
    mean = seen * relevance * one(score, 1 / seen, error) + (1 - seen * relevance) * irrelevant
    as_relevant, as_irrelevant = errors(score, error)
    assert mean == pytest.approx(relevance * as_relevant + (1 - relevance) * as_irrelevant)


@pytest.mark.parametrize("error", ["mse", "bce"])
def test_clipping_biases_by_what_it_keeps_from_the_weight(error: Error) -> None:
    seen, clip, relevance, score = 0.1, 0.25, 0.4, -0.5
    clicked = seen * relevance
    mean = clicked * one(score, 1 / clip, error) + (1 - clicked) * one(score, 0.0, error)
    as_relevant, as_irrelevant = errors(score, error)
    truth = relevance * as_relevant + (1 - relevance) * as_irrelevant
    bias = relevance * (seen / clip - 1) * (as_relevant - as_irrelevant)
    assert mean - truth == pytest.approx(bias)


@pytest.mark.parametrize("error", ["mse", "bce"])
@pytest.mark.parametrize("clip", [0.8, 1.0])
def test_a_step_is_half_weighted_positives_and_half_unlabelled_cells(
    catalog: Catalog, error: Error, clip: float
) -> None:
    """Clipped at 1 every weight is 1: plain matrix factorisation."""
    model = built(catalog, error=error, clip=clip)
    scores = model.user.rows() @ model.item.rows().T
    torch.manual_seed(5)
    loss = model.loss(BATCH).item()
    torch.manual_seed(5)
    cells = [divmod(cell, 12) for cell in torch.randint(40 * 12, (3,)).tolist()]
    met, counts = catalog.matrix.toarray(), catalog.item_counts
    positives = []
    for u, i in zip(BATCH.users.tolist(), BATCH.items.tolist(), strict=True):
        weight = 1 / max((counts[i] / counts.max()) ** 0.5, clip)
        as_relevant, as_irrelevant = errors(scores[u, i].item(), error)
        positives.append(weight * as_relevant + (1 - weight) * as_irrelevant)
    others = [errors(scores[u, i].item(), error)[1] for u, i in cells if not met[u, i]]
    expected = (sum(positives) / len(positives) + sum(others) / len(others)) / 2
    assert loss == pytest.approx(expected, rel=1e-5)


def test_unlabelled_cells_are_all_those_that_nobody_met(catalog: Catalog) -> None:
    torch.manual_seed(0)
    drawn = built(catalog)._unlabelled(100_000)
    counts = drawn.bincount(minlength=480).reshape(40, 12).numpy()
    met = catalog.matrix.toarray() > 0
    assert not counts[met].any()
    expected = 100_000 / 480
    assert abs(counts[~met] - expected).max() < 5 * expected**0.5


@pytest.mark.slow
@pytest.mark.parametrize("error", ["mse", "bce"])
def test_on_planted_blocks_it_beats_popularity(
    error: Error,
    planted: Planted,
    fit: Callable[..., Any],
    ndcg_at_10: Callable[[Any, Planted], float],
) -> None:
    catalog = planted.catalog
    settings = SETTINGS | {"width": 16, "error": error, "regularization": 1e-2}
    model = RelMf(catalog, Layers(catalog, torch.Generator().manual_seed(0)), **settings)
    training = {"learning_rate": 0.02, "batch_size": 1024, "epochs": 30, "patience": 30}
    training |= {"evaluate_every": 30}
    train(model, catalog, lambda: (0.0, 0.0), settings=training, seed=0)
    with torch.no_grad():
        found = ndcg_at_10(model, planted)
    assert found > 2.5 * ndcg_at_10(fit(Popularity, catalog), planted)
