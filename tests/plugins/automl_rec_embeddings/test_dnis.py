from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.builder import Built, finalize
from automl_rec.plugin import (
    BlockMatrix,
    Field,
    Infeasible,
    Phase,
    PlainTable,
    Precision,
    Step,
    Table,
    TrainableMatrix,
    Value,
)
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import catalog_for, configuration_of, trained
from automl_rec.testing.hosts import FACTORIZATION, registry_with_hosts
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.dnis import Dnis, blocks_of
from automl_rec_embeddings.row_stores.gated_rows import GatedRows
from automl_rec_embeddings.row_stores.selection import Columns

IDS, WIDTH = 2000, 16
CATALOG = planted_tiny().catalog
SEARCH, AGAIN = Phase("search", 0.5), Phase("retrain", 0.5, "initial")


def embedding(
    budget: float = 0.25,
    *,
    blocks: int = 4,
    rate: float = 1e-2,
    l1: float = 0.0,
    retrain: bool = False,
    precision: Precision = "fp32",
    export: Literal["entries", "columns"] = "entries",
) -> Dnis:
    return Dnis(budget, export, blocks, rate, l1, 0.1, precision, retrain=retrain)


def made(scheme: Dnis, ids: int = IDS, width: int = WIDTH) -> tuple[Table, GatedRows]:
    field = Field("item", ids, width, counts=np.arange(ids)[::-1].copy(), scored=True)
    scheme.adopt(scheme.plan({"item": field}, CATALOG))
    table = scheme.table(field, torch.Generator().manual_seed(0))
    assert isinstance(table, ComposedTable)
    store = table.stores[0]
    assert isinstance(store, GatedRows)
    return table, store


def settled(table: Table) -> Table:
    for weight in table.weights():
        weight.freeze()
    with torch.no_grad():
        table.settle()
    return table


def step_of(loss: Callable[[], Tensor]) -> Step:
    return Step(1, 100, 0.1, loss)


def descend(table: Table, loss: Tensor, rate: float, decay: float = 0.0) -> None:
    """Moves every parameter that has a slope, and lets it decay."""
    for parameter in table.parameters():
        parameter.grad = None
    loss.backward()
    with torch.no_grad():
        for parameter in table.parameters():
            if parameter.grad is not None:
                parameter.sub_(rate * (parameter.grad + decay * parameter))


def test_ids_are_cut_by_frequency_into_blocks_of_equal_count() -> None:
    counts = np.array([5, 0, 9, 5, 1, 7, 2])
    field = Field("item", 7, WIDTH, counts=counts)
    assert blocks_of(field, 3).tolist() == [0, 2, 0, 1, 2, 0, 1]
    assert blocks_of(field, 20).tolist() == [2, 6, 0, 3, 5, 1, 4]
    assert blocks_of(Field("item", 4, WIDTH), 2).tolist() == [0, 0, 1, 1]


def test_open_gates_are_a_full_table() -> None:
    table, _ = made(embedding())
    full = PlainTable(Field("item", IDS, WIDTH), torch.Generator().manual_seed(0))
    assert torch.equal(table.rows(), full.rows())
    assert torch.equal(table.lookup(torch.tensor([3, 1])), full.lookup(torch.tensor([3, 1])))


def test_training_the_rows_leaves_the_gates_as_they_are() -> None:
    scheme = embedding()
    table, store = made(scheme)
    with torch.no_grad():
        store.gates.uniform_(generator=torch.Generator().manual_seed(1))
    before, rows = store.gates.clone(), table.rows().detach()
    for _ in range(5):
        descend(table, table.lookup(torch.arange(50)).square().sum(), rate=0.1, decay=0.1)
        scheme.after_step(step_of(lambda: table.rows().sum()))
    assert torch.equal(store.gates, before)
    assert not torch.equal(table.rows(), rows)
    assert [id(part) for part in scheme.owned()] == [id(store.learned)]


def test_a_step_of_the_gates_is_normalised_block_by_block_and_clipped() -> None:
    _, store = made(embedding(), ids=8, width=2)
    with torch.no_grad():
        store.gates.copy_(torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.02, 0.99], [1.0, 1.0]]))
    slopes = torch.tensor([[1.0, 3.0], [0.0, 0.0], [1e3, -1e3], [-1.0, 1.0]])
    store.move_gates(slopes, 0.1, 0.0)
    expected = torch.tensor([[0.45, 0.35], [0.5, 0.5], [0.0, 1.0], [1.0, 0.9]])
    assert torch.allclose(store.gates, expected)


def test_held_out_batches_move_the_gates_and_nothing_else() -> None:
    scheme = embedding(rate=0.01)
    table, store = made(scheme, ids=8, width=2)
    rows = store.weight.trainable.detach().clone()
    scheme.judge(step_of(lambda: table.lookup(torch.tensor([0, 1])).square().sum()))
    assert torch.equal(store.weight.trainable, rows)
    assert store.weight.trainable.grad is None
    assert not store.gates.requires_grad
    moved = store.gates < 1
    assert moved.any(1).tolist() == [True, False, False, False]
    squares = rows[:2].square().sum(0)
    expected = 1 - 0.01 * squares / squares.mean()
    assert torch.allclose(store.gates[0], expected)


def test_the_penalty_closes_gates_beside_normalised_slopes() -> None:
    scheme = embedding(rate=0.01, l1=0.1)
    table, store = made(scheme, ids=8, width=2)
    scheme.judge(step_of(lambda: table.lookup(torch.tensor([0])).sum() * 0.0))
    assert torch.allclose(store.gates, torch.full((4, 2), 0.999))
    with torch.no_grad():
        store.move_gates(torch.tensor([[3.0, -1.0]]).expand(4, 2), 0.01, 0.1)
    assert torch.allclose(store.gates, torch.tensor([[0.983, 1.0]]).expand(4, 2))


def test_ids_that_say_nothing_of_held_out_events_have_smaller_gates() -> None:
    ids, width = 40, 4
    scheme = embedding(rate=5e-3)
    table, store = made(scheme, ids, width)
    draw = torch.Generator().manual_seed(2)
    truth = torch.randn(ids, generator=draw)
    dead = torch.arange(ids) // 10 % 2 == 1  # the second and the fourth block

    def labels() -> Tensor:
        return torch.where(dead, torch.randn(ids, generator=draw), truth)

    def loss(wanted: Tensor) -> Tensor:
        return (table.lookup(torch.arange(ids)).sum(1) - wanted).square().mean()

    for _ in range(300):
        descend(table, loss(labels()), rate=1.0)
        held = labels()
        scheme.judge(step_of(lambda held=held: loss(held)))  # type: ignore[misc]
    means = store.gates.mean(1)
    assert means[[1, 3]].max() < means[[0, 2]].min() - 0.1


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("budget", [0.05, 0.1, 0.25])
def test_what_is_served_takes_the_budget_to_a_thousandth(
    budget: float, precision: Precision
) -> None:
    if (budget, precision) == (0.05, "int8"):
        budget = 0.1  # the steps alone take a sixteenth
    scheme = embedding(budget, precision=precision)
    table, _ = made(scheme)
    settled(table)
    scheme.encode(table)
    found = sum(tensor.nbytes for tensor in table.state_dict().values())
    limit = budget * IDS * WIDTH * 4
    assert 0.999 * limit <= found <= limit


def test_bytes_are_those_of_entries_and_their_places() -> None:
    field = Field("item", 100, 8)
    scheme = embedding()
    assert scheme.structure_bytes(field, {"kept": 200}) == 200 * 4 + 100  # a bit a place
    wide = Field("item", 100, 64)
    assert scheme.structure_bytes(wide, {"kept": 20}) == 20 * (4 + 1) + 101  # compressed rows


def test_a_budget_that_the_places_alone_exceed_is_refused() -> None:
    with pytest.raises(Infeasible, match="less than the"):
        made(embedding(0.01))


def test_folded_entries_read_as_they_did_with_their_gates() -> None:
    table, store = made(embedding())
    with torch.no_grad():
        store.gates.uniform_(generator=torch.Generator().manual_seed(1))
    rows = table.rows().detach()
    entries = store.weight.price().leaves()[0].entries.low
    bound = rows.abs().flatten().sort(descending=True).values[int(entries) - 1]
    kept = torch.where(rows.abs() >= bound, rows, 0.0)
    settled(table)
    assert torch.equal(table.rows(), kept)
    assert torch.equal(table.lookup(torch.arange(9)), kept[:9])
    x = torch.ones(3, WIDTH)
    assert torch.allclose(table.score(x), x @ kept.T, atol=1e-6)
    assert list(table.state_dict()) == [
        f"stores.0.weight.matrix.{name}" for name in ("values", "bits")
    ]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_columns_take_as_much_of_the_budget_as_whole_ones_can(precision: Precision) -> None:
    scheme = embedding(precision=precision, export="columns")
    table, store = made(scheme)
    settled(table)
    scheme.encode(table)
    found = sum(tensor.nbytes for tensor in table.state_dict().values())
    limit = 0.25 * IDS * WIDTH * 4
    column = IDS // 4 * (4 if precision == "fp32" else 1) + 5  # values, place and step
    assert limit - column < found <= limit
    assert found == scheme.price(store.weight.price()).bytes.low


def test_folded_columns_read_as_they_did_with_their_gates() -> None:
    table, store = made(embedding(export="columns"), ids=40, width=4)
    gates = torch.tensor([[1, 0.9, 0, 0], [0.8, 0, 0, 0], [0, 0.7, 0.9, 0.1], [0, 0, 0, 0]])
    with torch.no_grad():
        store.gates.copy_(gates)
        store.weight.trainable.copy_(store.weight.trainable.sign())
    rows = table.rows().detach()
    kept = int(store.weight.price().leaves()[0].rows.low)
    assert kept == 2, "160 bytes: a byte an id, and 41 a column"
    settled(table)
    expected = torch.zeros(40, 4)
    expected[:10, 0], expected[:10, 1] = rows[:10, 0], rows[:10, 1]
    assert torch.equal(table.rows(), expected)
    assert torch.equal(table.lookup(torch.tensor([39, 3])), expected[[39, 3]])
    assert torch.allclose(table.score(torch.ones(2, 4)), torch.ones(2, 4) @ expected.T)


def test_a_second_training_with_columns_stays_within_them() -> None:
    built = learned(retrain=True, export="columns")
    masks = [mask_of(store) for store in stores_of(built)]
    finalize(built)
    for store, mask in zip(stores_of(built), masks, strict=True):
        matrix = store.weight.matrix
        assert isinstance(matrix, BlockMatrix)
        assert torch.equal(matrix.dense() != 0, mask == 1)


def test_a_table_whose_rows_are_given_is_not_judged() -> None:
    scheme = embedding()
    table, store = made(scheme)
    table.requires_grad_(False)
    scheme.judge(step_of(lambda: table.rows().sum()))
    assert torch.equal(store.gates, torch.ones(4, WIDTH))


def test_where_every_table_stays_full_nothing_is_held_out_and_nothing_repeated() -> None:
    scheme = embedding(1.0, retrain=True)
    field = Field("item", IDS, WIDTH)
    scheme.adopt(scheme.plan({"item": field}, CATALOG))
    assert isinstance(scheme.table(field, torch.Generator()), PlainTable)
    scheme.begin(Phase("train"), torch.Generator())
    assert scheme.held_out == 0.0
    assert scheme.phases == (), "it acts in whatever phases there are"


def test_events_are_held_out_of_the_search_alone() -> None:
    scheme = embedding(retrain=True)
    made(scheme)
    with torch.no_grad():
        scheme.begin(SEARCH, torch.Generator())
        assert scheme.held_out == 0.1
        scheme.end(SEARCH)
        scheme.begin(AGAIN, torch.Generator())
    assert scheme.held_out == 0.0


def stores_of(built: Built) -> list[GatedRows]:
    return [part for part in built.model.modules() if isinstance(part, GatedRows)]


def learned(*, retrain: bool, export: str = "entries") -> Built:
    registry = registry_with_hosts()
    setting: dict[str, Value] = {
        "budget": 0.25,
        "export": export,
        "blocks": 4,
        "gate_rate": 1e-2,
        "l1": 1e-5,
        "held_out": 0.2,
        "retrain": retrain,
        "precision": "fp32",
    }
    dnis = Chosen("dnis", setting)
    configuration = configuration_of(registry, FACTORIZATION.name, compressions={"embedding": dnis})
    return trained(configuration, catalog_for(FACTORIZATION), registry)


def test_a_training_moves_the_gates_by_its_held_out_events() -> None:
    built = learned(retrain=False)
    for store in stores_of(built):
        assert store.gates.min() < 1
        assert store.gates.min() >= 0


def mask_of(store: GatedRows) -> Tensor:
    matrix = store.weight.matrix
    assert isinstance(matrix, TrainableMatrix)
    assert matrix.mask is not None
    return matrix.mask


def test_a_second_training_leaves_gates_and_selection_alone() -> None:
    built = learned(retrain=True)
    scheme = built.embedding
    assert isinstance(scheme, Dnis)
    stores = stores_of(built)
    masks, gates = [mask_of(s) for s in stores], [s.gates.clone() for s in stores]
    scheme.begin(AGAIN, torch.Generator())
    scheme.judge(step_of(lambda: sum((s.rows().sum() for s in stores), start=torch.zeros(()))))
    for store, mask, before in zip(stores, masks, gates, strict=True):
        assert before.min() < 1
        assert torch.equal(store.gates, before)
        entries = store.weight.price().leaves()[0].entries
        assert mask.sum() == entries.low == entries.high
        assert not store.rows()[mask == 0].any()
    finalize(built)
    for store, mask in zip(stores, masks, strict=True):
        assert not store.weight.matrix.dense()[mask == 0].any()


def test_a_new_search_begins_with_open_gates_and_no_mask() -> None:
    scheme = embedding(retrain=True)
    table, store = made(scheme)
    with torch.no_grad():
        store.gates.fill_(0.5)
        scheme.end(SEARCH)
        scheme.begin(SEARCH, torch.Generator())
    assert torch.equal(table.rows(), store.weight.trainable)


@pytest.mark.parametrize("export", ["entries", "columns"])
def test_a_settled_table_keeps_no_tensor_but_what_is_stored(
    export: Literal["entries", "columns"],
) -> None:
    table, _ = made(embedding(export=export))
    with torch.device("meta"):
        planned, _ = made(embedding(export=export))
    for one in (table, planned):
        settled(one)
        assert set(dict(one.named_buffers())) == set(one.state_dict())
        held = [type(value) for part in one.modules() for value in vars(part).values()]
        assert Columns not in held
