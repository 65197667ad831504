from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.objectives.ranking import lists, measure
from automl_rec.plugin import Catalog, Histories, Infeasible, Layers, Requests, Sequences
from automl_rec.testing.planted import planted_sequences
from automl_rec.training.trainer import train
from automl_rec_models.sequential.sasrec import SasRec

HYPERPARAMETERS: dict[str, Any] = {
    "width": 8,
    "blocks": 2,
    "heads": 2,
    "length": 12,
    "dropout": 0.0,
    "norm": "pre",
    "loss": "full-ce",
}
NORMS = ("pre", "post", "original")
CATALOG = Catalog(30, Histories(np.array([0, 31, 31]), np.arange(31, dtype=np.int32) % 30))


def model_of(catalog: Catalog = CATALOG, **changes: Any) -> SasRec:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    model = SasRec(catalog, layers, **HYPERPARAMETERS | changes)
    for parameter in model.parameters():  # biases and norms start at 0 and 1: hide nothing
        with torch.no_grad():
            parameter.add_(torch.linspace(-0.3, 0.3, parameter.numel()).reshape(parameter.shape))
    return model.eval()


def histories(rows: int = 5, length: int = 12) -> Tensor:
    return torch.randint(30, (rows, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def states(model: SasRec, items: Tensor, *, last: bool = False) -> Tensor:
    return model.states(items, last=last)


@pytest.mark.parametrize("norm", NORMS)
def test_later_items_leave_earlier_states_bit_equal(norm: str) -> None:
    model, items = model_of(norm=norm), histories()
    changed = items.clone()
    changed[:, 8:] = (changed[:, 8:] + 7) % 30
    before, after = states(model, items), states(model, changed)
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.isclose(before[:, 8:], after[:, 8:]).all(2).any()


@pytest.mark.parametrize("norm", NORMS)
def test_padding_changes_nothing(norm: str) -> None:
    model, items = model_of(norm=norm), histories(length=6)
    padded = torch.nn.functional.pad(items, (5, 0), value=-1)
    torch.testing.assert_close(states(model, padded)[:, 5:], states(model, items))


def test_a_history_of_padding_alone_has_a_finite_state() -> None:
    assert bool(states(model_of(), torch.full((2, 4), -1)).isfinite().all())


@pytest.mark.parametrize("norm", NORMS)
def test_the_last_state_alone_is_the_last_of_all(norm: str) -> None:
    model, items = model_of(norm=norm), histories()
    torch.testing.assert_close(states(model, items, last=True), states(model, items)[:, -1:])


def test_without_attention_only_the_last_item_matters() -> None:
    model, items = model_of(), histories()
    for block in model.blocks:
        torch.nn.init.zeros_(block.out.weight.trainable)  # type: ignore[union-attr,arg-type]
    others = torch.cat([(items[:, :-1] + 3) % 30, items[:, -1:]], 1)
    one, two = states(model, items), states(model, others)
    assert torch.equal(one[:, -1], two[:, -1])
    assert not torch.isclose(one[:, 0], two[:, 0]).all()


def test_scores_are_those_of_the_last_states_with_every_item() -> None:
    model = model_of()
    requests = Requests(torch.tensor([0, 1, 1]), torch.tensor([0, 4, 4, 18]), histories(1, 18)[0])
    with torch.no_grad():
        scores = model.scores(requests)
        rows = model.item.rows()
    for number, (start, end) in enumerate([(0, 4), (4, 4), (4, 18)]):
        known = requests.items[start:end][-12:]
        padded = torch.nn.functional.pad(known, (12 - len(known), 0), value=-1)
        expected = states(model, padded[None])[0, -1] @ rows.T
        torch.testing.assert_close(scores[number], expected)


def test_the_softmax_loss_is_the_mean_over_positions_with_a_target() -> None:
    model = model_of()
    batch = Sequences(
        torch.tensor([0, 1]),
        torch.tensor([[-1, 3, 4], [5, 6, 7]]),
        torch.tensor([[-1, 4, 9], [6, 7, -1]]),
        torch.zeros(2, 3, 0, dtype=torch.int64),
    )
    logits = states(model, batch.histories) @ model.item.rows().detach().T
    logs = torch.log_softmax(logits, 2)
    wanted = [logs[0, 1, 4], logs[0, 2, 9], logs[1, 0, 6], logs[1, 1, 7]]
    torch.testing.assert_close(model.loss(batch).detach(), -torch.stack(wanted).mean())


def test_the_binary_loss_is_the_mean_over_targets_and_their_negatives() -> None:
    model = model_of(loss="bce", negatives=2)
    batch = Sequences(
        torch.tensor([0]),
        torch.tensor([[-1, 3, 4]]),
        torch.tensor([[-1, 4, 9]]),
        torch.tensor([[[1, 2], [10, 11], [12, 13]]]),
    )
    scores = (states(model, batch.histories) @ model.item.rows().detach().T)[0]
    log = torch.nn.functional.logsigmoid
    decisions = [log(scores[1, 4]), log(scores[2, 9])]
    decisions += [*log(-scores[1, [10, 11]]), *log(-scores[2, [12, 13]])]
    torch.testing.assert_close(model.loss(batch).detach(), -torch.stack(decisions).mean())
    assert model.sampling.negatives == 2


def test_dropout_acts_in_training_alone_and_follows_the_seed() -> None:
    model, items = model_of(dropout=0.5), histories()
    assert torch.equal(states(model, items), states(model, items))
    model.train()
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            drawn.append(states(model, items))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_heads_that_do_not_divide_the_width_are_infeasible() -> None:
    with pytest.raises(Infeasible, match="width must be a multiple of heads, got 6 and 4"):
        model_of(width=6, heads=4)


def test_it_builds_from_shapes_alone_with_the_same_state() -> None:
    with torch.device("meta"):
        layers = Layers(CATALOG, torch.Generator())
        shapes = SasRec(CATALOG, layers, **HYPERPARAMETERS).state_dict()
    state = model_of().state_dict()
    assert {name: part.shape for name, part in state.items()} == {
        name: part.shape for name, part in shapes.items()
    }
    assert all(part.is_meta for part in shapes.values())


def test_operations_count_the_attention_of_a_mean_history() -> None:
    # 3 positions a user on average, width 8: 9 pairs in the first block, 3 in the last, twice.
    catalog = Catalog(30, Histories(np.array([0, 6, 6]), np.arange(6, dtype=np.int32)))
    assert model_of(catalog).operations() == 2 * (9 + 3) * 8


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_it_finds_a_planted_chain(norm: str) -> None:
    planted = planted_sequences(0)
    catalog = planted.catalog
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    changes = {"width": 32, "heads": 1, "length": 20, "dropout": 0.1, "norm": norm}
    model = SasRec(catalog, layers, **HYPERPARAMETERS | changes)

    def validate() -> tuple[float, float]:
        judged = lists(model, catalog.histories, planted.heldout, catalog.num_items, 1)
        return measure(judged, "hit@1").value, 0.0

    settings = {"learning_rate": 3e-3, "batch_size": 128, "epochs": 24, "patience": 9}
    training = train(model, catalog, validate, settings=settings | {"evaluate_every": 8}, seed=0)
    assert training.curve[-1].quality >= 0.85


@pytest.mark.parametrize("shared", [False, True])
def test_parts_of_different_lengths_give_the_loss_of_the_whole(*, shared: bool) -> None:
    model = model_of(length=30, loss="bce", negatives=2, shared=shared)
    items = histories(6, 30)
    for row, length in enumerate([3, 30, 9, 1, 17, 30]):
        items[row, : 30 - length] = -1
    targets = ((items + 1) % 30).where(items >= 0, -1)
    negatives = torch.tensor([29, 3]) if shared else torch.stack([items, items + 5], 2) % 30
    batch = Sequences(torch.arange(6), items, targets, negatives)
    logits = states(model, items) @ model.item.rows().detach().T
    positive = logits.gather(2, targets.clamp(min=0)[:, :, None])[items >= 0]
    others = negatives.expand(6, 30, 2)
    negative = logits.gather(2, others).masked_fill(others == targets[:, :, None], -torch.inf)
    softplus = torch.nn.functional.softplus
    total = softplus(-positive).sum() + softplus(negative[items >= 0]).sum()
    torch.testing.assert_close(model.loss(batch).detach(), total / (3 * len(positive)))


def test_positions_that_no_training_history_reaches_are_not_stored() -> None:
    """Of six items the last is a target alone."""
    short = Catalog(30, Histories(np.array([0, 6, 8]), np.arange(8, dtype=np.int32)))
    model = model_of(short, length=20)
    assert model.sampling.length == model.position.num_rows == 5
    known = Requests(torch.tensor([0]), torch.tensor([0, 9]), torch.arange(9))
    last = Requests(torch.tensor([0]), torch.tensor([0, 5]), torch.arange(4, 9))
    with torch.no_grad():
        assert torch.equal(model.scores(known), model.scores(last))
