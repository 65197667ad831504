from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl_rec.objectives.ranking import lists, measure
from automl_rec.plugin import Catalog, Histories, Layers, Requests, Sequences
from automl_rec.testing.planted import planted_sequences, planted_tiny
from automl_rec.training.trainer import train
from automl_rec_models.sequential.gru import Gru
from automl_rec_models.sequential.item_vectors import item_vectors

HYPERPARAMETERS: dict[str, Any] = {
    "width": 6,
    "hidden": 5,
    "depth": 2,
    "length": 12,
    "dropout": 0.0,
    "horizon": 1,
    "items": "trainable",
    "loss": "full-ce",
}
CATALOG = Catalog(30, Histories(np.array([0, 6, 6]), np.arange(6, dtype=np.int32)))


def model_of(catalog: Catalog = CATALOG, **changes: Any) -> Gru:
    model = Gru(
        catalog, Layers(catalog, torch.Generator().manual_seed(0)), **HYPERPARAMETERS | changes
    )
    for parameter in model.parameters():  # biases start at 0: hide nothing
        with torch.no_grad():
            parameter.add_(torch.linspace(-0.3, 0.3, parameter.numel()).reshape(parameter.shape))
    return model.eval()


def histories(rows: int = 5, length: int = 12) -> Tensor:
    return torch.randint(30, (rows, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def states(model: Gru, items: Tensor) -> Tensor:
    every = torch.ones(items.shape, dtype=torch.bool)
    return model.states(items, every).reshape(*items.shape, -1)


@pytest.mark.parametrize("depth", [1, 2])
def test_states_are_those_of_torchs_module(depth: int) -> None:
    model, items = model_of(depth=depth), histories()
    theirs = nn.GRU(6, 5, num_layers=depth, batch_first=True)
    with torch.no_grad():
        for n, level in enumerate(model.levels):
            names = (f"weight_ih_l{n}", f"weight_hh_l{n}", f"bias_ih_l{n}", f"bias_hh_l{n}")
            for name, tensor in zip(names, level(), strict=True):
                getattr(theirs, name).copy_(tensor)
        after, _ = theirs(model.item.lookup(items))
        torch.testing.assert_close(states(model, items), model.out(after))


def test_a_step_follows_the_equations() -> None:
    model = model_of(depth=1)
    (level,) = model.levels
    with torch.no_grad():
        matrix, recurrent, bias, inner = level()
        state = torch.zeros(5)
        for item in (3, 7):
            r, z, n = (matrix @ model.item.lookup(torch.tensor(item)) + bias).chunk(3)
            of_r, of_z, of_n = (recurrent @ state + inner).chunk(3)
            update = torch.sigmoid(z + of_z)
            new = torch.tanh(n + torch.sigmoid(r + of_r) * of_n)
            state = (1 - update) * new + update * state
        torch.testing.assert_close(states(model, torch.tensor([[3, 7]]))[0, 1], model.out(state))


def test_later_items_leave_earlier_states_bit_equal() -> None:
    model, items = model_of(), histories()
    changed = items.clone()
    changed[:, 8:] = (changed[:, 8:] + 7) % 30
    before, after = states(model, items), states(model, changed)
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.isclose(before[:, 8:], after[:, 8:]).all(2).any()


def test_padding_leaves_the_state_as_it_was() -> None:
    model, items = model_of(), histories(length=6)
    mixed = torch.nn.functional.pad(items, (5, 0), value=-1)
    mixed[0, :7] = -1  # histories of different lengths do not disturb each other
    found = states(model, mixed)
    torch.testing.assert_close(found[1:, 5:], states(model, items)[1:])
    torch.testing.assert_close(found[0, 7:], states(model, items[:1, 2:])[0])
    start = model.out(torch.zeros(5)).detach()
    torch.testing.assert_close(found[1, :5], start.expand(5, -1))


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


def test_the_loss_is_the_mean_over_positions_with_a_target() -> None:
    model = model_of()
    batch = Sequences(
        torch.tensor([0, 1]),
        torch.tensor([[-1, 3, 4], [5, 6, 7]]),
        torch.tensor([[-1, 4, 9], [6, 7, -1]]),
        torch.zeros(2, 3, 0, dtype=torch.int64),
    )
    logs = torch.log_softmax(states(model, batch.histories) @ model.item.rows().detach().T, 2)
    wanted = [logs[0, 1, 4], logs[0, 2, 9], logs[1, 0, 6], logs[1, 1, 7]]
    torch.testing.assert_close(model.loss(batch).detach(), -torch.stack(wanted).mean())


@pytest.mark.parametrize("source", ["fastrp", "ials"])
def test_frozen_vectors_are_those_of_another_model_and_stay(source: Any) -> None:
    catalog = planted_tiny().catalog
    model = model_of(catalog, items=source, width=16)
    model.begin(catalog, torch.Generator().manual_seed(3))
    before = model.item.rows().clone()
    vectors = item_vectors(source, catalog, 16, torch.Generator().manual_seed(3))
    assert torch.equal(before, vectors)
    settings = {"learning_rate": 1e-2, "batch_size": 16, "epochs": 2, "patience": 9}
    train(model, catalog, lambda: (0.0, 0.0), settings=settings | {"evaluate_every": 1}, seed=0)
    again = item_vectors(source, catalog, 16, torch.Generator().manual_seed(3))
    assert torch.equal(vectors, again)
    assert not any(part.requires_grad for part in model.item.parameters())
    other = item_vectors("fastrp", catalog, 16, torch.Generator().manual_seed(4))
    assert not torch.equal(vectors, other)


def test_the_horizon_is_that_of_the_batches() -> None:
    assert model_of(horizon=10).sampling.horizon == 10


def test_it_builds_from_shapes_alone_with_the_same_state() -> None:
    with torch.device("meta"):
        shapes = Gru(CATALOG, Layers(CATALOG, torch.Generator()), **HYPERPARAMETERS).state_dict()
    assert {name: part.shape for name, part in model_of().state_dict().items()} == {
        name: part.shape for name, part in shapes.items()
    }
    assert all(part.is_meta for part in shapes.values())


@pytest.mark.slow
def test_it_finds_a_planted_chain() -> None:
    planted = planted_sequences(0)
    catalog = planted.catalog
    changes = {"width": 32, "hidden": 64, "depth": 1, "length": 20, "dropout": 0.1}
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    model = Gru(catalog, layers, **HYPERPARAMETERS | changes)

    def validate() -> tuple[float, float]:
        judged = lists(model, catalog.histories, planted.heldout, catalog.num_items, 1)
        return measure(judged, "hit@1").value, 0.0

    settings = {"learning_rate": 1e-2, "batch_size": 128, "epochs": 24, "patience": 9}
    training = train(model, catalog, validate, settings=settings | {"evaluate_every": 8}, seed=0)
    assert training.curve[-1].quality >= 0.85
