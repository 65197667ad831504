from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.objectives.ranking import lists, measure
from automl_rec.plugin import (
    Catalog,
    Feature,
    Histories,
    Infeasible,
    Layers,
    Requests,
    Sequences,
)
from automl_rec.testing.planted import planted_interactions, planted_sequences
from automl_rec.training.trainer import train
from automl_rec_models.sequential.comirec import ComiRec, ComiRecDr, ComiRecSa, squash

READING: dict[str, Any] = {
    "width": 8,
    "interests": 3,
    "length": 12,
    "negatives": 4,
    "sampler": "uniform",
    "draw": "user",
    "readout": "hard",
    "diversity": 0.0,
}
ROUTING: dict[str, Any] = {"matrices": "position", "rounds": 3}
KINDS = ("sa", "dr", "dr-interest")
CATALOG = Catalog(30, Histories(np.array([0, 20, 23]), np.arange(23, dtype=np.int32)))


def model_of(kind: str, catalog: Catalog = CATALOG, **changes: Any) -> Any:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    values = READING | changes
    if kind == "sa":
        model: ComiRec = ComiRecSa(catalog, layers, **values)
    else:
        matrices = "interest" if kind == "dr-interest" else "position"
        model = ComiRecDr(catalog, layers, **ROUTING | {"matrices": matrices} | values)
    model.begin(catalog, torch.Generator().manual_seed(0))
    return model.eval()


def histories(rows: int = 5, length: int = 12) -> Tensor:
    return torch.randint(30, (rows, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def interests(model: ComiRec, items: Tensor) -> Tensor:
    return model.interests(items)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_and_alone_is_no_interest(kind: str) -> None:
    model, items = model_of(kind), histories(length=5)
    padded = F.pad(items, (6, 0), value=-1)
    torch.testing.assert_close(interests(model, padded), interests(model, items))
    assert torch.equal(interests(model, torch.full((2, 4), -1)), torch.zeros(2, 3, 8))


@pytest.mark.parametrize("kind", KINDS)
def test_interests_differ_from_each_other(kind: str) -> None:
    first, second, third = interests(model_of(kind), histories()).unbind(1)
    assert not torch.isclose(first, second).all(1).any()
    assert not torch.isclose(second, third).all(1).any()


def test_attention_is_the_softmax_of_the_equation() -> None:
    model, items = model_of("sa", length=12), histories(2, 7)
    items[0, :4] = -1
    with torch.no_grad():
        rows = model.item.lookup(items)
        weights = model.weights(items, rows)
        known = rows[0, 4:] + model.position.lookup(torch.arange(9, 12))
        inner = torch.tanh(known @ model.hidden.weight.trainable.T + model.hidden.bias)
        logits = inner @ model.attention.weight.trainable.T  # (L, K)
    torch.testing.assert_close(weights[0, :, 4:], torch.softmax(logits, 0).T)
    assert bool((weights[0, :, :4] == 0).all())
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3))
    torch.testing.assert_close(interests(model, items), weights @ rows)


def test_one_interest_of_even_attention_is_the_mean_of_the_items() -> None:
    model, items = model_of("sa", interests=1), histories()
    with torch.no_grad():
        model.attention.weight.trainable.zero_()
        mean = model.item.lookup(items).mean(1, keepdim=True)
    torch.testing.assert_close(interests(model, items), mean)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_one_capsule_is_the_squashed_sum_of_its_votes(rounds: int) -> None:
    model, items = model_of("dr", interests=1, rounds=rounds), histories()
    with torch.no_grad():
        rows = model.item.lookup(items)
        matrices = [vote.weight.trainable for vote in model.votes]  # newest first
        votes = [rows[:, 11 - place] @ matrices[place].T for place in range(12)]
    expected = squash(torch.stack(votes).sum(0))
    torch.testing.assert_close(interests(model, items)[:, 0], expected)


def test_routing_follows_its_equations_round_by_round() -> None:
    model, items = model_of("dr-interest", width=4), histories(1, 6)
    with torch.no_grad():
        rows = model.item.lookup(items)[0]
        votes = (rows @ model.votes[0].weight.trainable.T).reshape(6, 3, 4).double()
    logits = torch.zeros(6, 3, dtype=torch.float64)
    for _ in range(3):
        shares = logits.exp() / logits.exp().sum(1, keepdim=True)
        sums = torch.stack([(shares[:, k, None] * votes[:, k]).sum(0) for k in range(3)])
        length = sums.norm(dim=1, keepdim=True)
        capsules = length**2 / (1 + length**2) * sums / length
        logits = logits + torch.stack([votes[:, k] @ capsules[k] for k in range(3)], 1)
    torch.testing.assert_close(interests(model, items)[0].double(), capsules, rtol=1e-4, atol=1e-5)


def test_capsules_are_shorter_than_one_whatever_the_votes() -> None:
    model, items = model_of("dr"), histories()
    with torch.no_grad():
        model.item.assign(100 * model.item.rows())
    lengths = interests(model, items).norm(dim=2)
    assert bool((lengths <= 1).all())
    assert float(lengths.max()) > 0.99
    assert bool(squash(torch.zeros(2, 3, requires_grad=True)).isfinite().all())


def test_the_slope_of_no_vector_is_finite() -> None:
    nothing = torch.zeros(2, 3, requires_grad=True)
    squash(nothing).sum().backward()
    assert nothing.grad is not None
    assert bool(nothing.grad.isfinite().all())


def test_capsules_of_one_shared_matrix_stay_equal() -> None:
    model, items = model_of("dr-interest"), histories()
    with torch.no_grad():
        matrix = model.votes[0].weight.trainable
        matrix.copy_(matrix[:8].repeat(3, 1))
    first, second, third = interests(model, items).unbind(1)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(second, third)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_best_of_all_interests(kind: str) -> None:
    model = model_of(kind)
    requests = Requests(torch.tensor([0, 1, 1]), torch.tensor([0, 4, 4, 18]), histories(1, 18)[0])
    with torch.no_grad():
        scores, rows = model.scores(requests), model.item.rows()
    for number, (start, end) in enumerate([(0, 4), (4, 4), (4, 18)]):
        known = requests.items[start:end][-12:]
        padded = F.pad(known, (12 - len(known), 0), value=-1)
        expected = (interests(model, padded[None])[0] @ rows.T).amax(0)
        torch.testing.assert_close(scores[number], expected)


def test_without_diversity_a_list_is_the_union_of_the_best_of_each_interest() -> None:
    model = model_of("sa")
    requests = Requests(torch.tensor([0]), torch.tensor([0, 12]), histories(1)[0])
    with torch.no_grad():
        each = interests(model, histories(1))[0] @ model.item.rows().T  # (K, I)
        best, items = model.scores(requests).topk(5)
    values, places = each.topk(5)
    union = {int(i): -torch.inf for i in places.flatten()}
    for value, place in zip(values.flatten().tolist(), places.flatten().tolist(), strict=True):
        union[place] = max(union[place], value)
    assert items[0].tolist() == sorted(union, key=lambda item: -union[item])[:5]
    assert model.shortlist(5) == 5
    assert torch.equal(model.choose(items, best, 5), items)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_reads_the_nearest_interest_and_corrects_for_popularity(kind: str) -> None:
    model = model_of(kind, sampler="popularity")
    items, targets, negatives = histories(2, 6), torch.tensor([3, 21]), torch.tensor([5, 21, 3, 7])
    padding = torch.full((2, 5), -1)
    batch = Sequences(
        torch.tensor([0, 1]), items, torch.cat([padding, targets[:, None]], 1), negatives
    )
    counts = torch.from_numpy(CATALOG.item_counts)
    with torch.no_grad():
        rows, found = model.item.rows(), interests(model, items)
        expected = []
        for b in range(2):
            near = max(found[b], key=lambda v: float(v @ rows[targets[b]]))
            compared = [int(targets[b]), *(n for n in negatives.tolist() if n != targets[b])]
            logits = rows[compared] @ near - counts[compared].log()
            expected.append(-torch.log_softmax(logits, 0)[0])
        torch.testing.assert_close(model.loss(batch), torch.stack(expected).mean())


def test_a_soft_read_out_weighs_interests_by_nearness() -> None:
    model = model_of("sa", readout="soft", power=2.0)
    found, targets = interests(model, histories(2)), torch.randn(2, 8)
    near = torch.stack([torch.softmax(2 * (found[b] @ targets[b]), 0) @ found[b] for b in range(2)])
    torch.testing.assert_close(model.read_out(found, targets), near)
    hard = model_of("sa", readout="soft", power=1e6).read_out(found, targets)
    torch.testing.assert_close(hard, model_of("sa").read_out(found, targets))


def test_positions_that_no_history_reaches_have_no_matrix() -> None:
    short = Catalog(9, Histories(np.array([0, 4, 9]), np.arange(9, dtype=np.int32)))
    model = model_of("dr", short)
    assert len(model.votes) == model.sampling.length == 4
    assert [vote.weight.use.products for vote in model.votes] == [1, 1, 1, 1]
    assert [v.weight.use.products for v in model_of("dr").votes][2:4] == [1, 0.5]
    assert model.scores(Requests(torch.tensor([0]), torch.tensor([0, 6]), torch.arange(6))).shape


def test_diversity_needs_a_feature_to_differ_in() -> None:
    with pytest.raises(Infeasible, match=r"needs a categorical .* feature .* Add data.item_feat"):
        model_of("sa", diversity=0.5)
    kinds = Feature("categorical", np.arange(30, dtype=np.int32) % 4, 4)
    catalog = Catalog(30, CATALOG.histories, item_features={"kind": kinds})
    model = model_of("sa", catalog, diversity=1e6)
    assert model.shortlist(4) == 12
    items = torch.tensor([[0, 4, 8, 1, 12, 2, 3, 16]])
    chosen = model.choose(items, torch.arange(8.0, 0, -1)[None], 4)
    assert chosen.tolist() == [[0, 1, 2, 3]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_planted_interests(kind: str) -> None:
    planted = planted_interactions(0)
    assert learned(kind, planted.catalog, planted.heldout, "ndcg@10") >= 2.5 * 0.058


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_near_in_a_planted_chain(kind: str) -> None:
    planted = planted_sequences(0)
    assert learned(kind, planted.catalog, planted.heldout, "hit@10") >= 0.5


def learned(kind: str, catalog: Catalog, heldout: Histories, quality: str) -> float:
    changes = {"width": 32, "negatives": 50, "sampler": "popularity", "draw": "edge"}
    model = model_of(kind, catalog, **changes).train()

    def validate() -> tuple[float, float]:
        judged = lists(model, catalog.histories, heldout, catalog.num_items, 10)
        return measure(judged, quality).value, 0.0

    settings = {"learning_rate": 5e-3, "batch_size": 256, "epochs": 12, "patience": 9}
    training = train(model, catalog, validate, settings=settings | {"evaluate_every": 6}, seed=0)
    return max(point.quality for point in training.curve)
