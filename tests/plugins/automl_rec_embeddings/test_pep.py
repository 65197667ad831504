import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.builder import Built, build, finalize
from automl_rec.plugin import (
    Field,
    Infeasible,
    Phase,
    PlainTable,
    Table,
    TrainableMatrix,
    Use,
    Value,
    Weight,
)
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import catalog_for, configuration_of, learn
from automl_rec.testing.hosts import FACTORIZATION, registry_with_hosts
from automl_rec.testing.planted import planted_tiny
from automl_rec.testing.settings import settings_of
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.pep import Pep
from automl_rec_embeddings.row_stores.selection import Entries
from automl_rec_embeddings.row_stores.thresholded_rows import Granularity, ThresholdedRows

IDS, WIDTH = 500, 16
CATALOG = planted_tiny().catalog
SEARCH, RETRAIN = Phase("search", 0.5), Phase("retrain", 0.5, "initial")
REGISTRY = registry_with_hosts()


def made(
    budget: float = 0.25, granularity: Granularity = "entry", start: float = -15.0
) -> tuple[Pep, Table, ThresholdedRows]:
    scheme = Pep(budget, granularity, start, "fp32")
    field = Field("item", IDS, WIDTH, counts=np.arange(IDS), scored=True)
    scheme.adopt(scheme.plan({"item": field}, CATALOG))
    table = scheme.table(field, torch.Generator().manual_seed(0))
    assert isinstance(table, ComposedTable)
    store = table.stores[0]
    assert isinstance(store, ThresholdedRows)
    return scheme, table, store


def thresholds(store: ThresholdedRows) -> Tensor:
    assert store.learned is not None
    return store.learned


def mask_of(store: ThresholdedRows) -> Tensor:
    matrix = store.weight.matrix
    assert isinstance(matrix, TrainableMatrix)
    assert matrix.mask is not None
    return matrix.mask


def entries_of(store: ThresholdedRows) -> int:
    return int(store.weight.price().leaves()[0].entries.low)


def test_a_threshold_of_zero_is_a_full_table() -> None:
    _, table, _ = made(start=-1000.0)
    full = PlainTable(Field("item", IDS, WIDTH), torch.Generator().manual_seed(0))
    assert torch.equal(table.rows(), full.rows())
    assert torch.equal(table.lookup(torch.tensor([3, 1])), full.lookup(torch.tensor([3, 1])))


def test_entries_are_pulled_to_zero_by_their_threshold() -> None:
    weight = Weight("store", 2, 3, "table", Use())
    store = ThresholdedRows(weight, Entries(2, 3, 2), "column", 0.0)
    with torch.no_grad():
        store.weight.trainable.copy_(torch.tensor([[1.0, -2.0, 0.5], [0.1, 3.0, -0.6]]))
        thresholds(store).copy_(torch.tensor([[0.0, 100.0, -100.0]]))  # 1/2, 1 and 0
    rows = store.rows()
    assert torch.allclose(rows, torch.tensor([[0.5, -1.0, 0.5], [0.0, 2.0, -0.6]]))
    rows.sum().backward()
    slopes = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    assert torch.equal(store.weight.trainable.grad, slopes)  # type: ignore[arg-type]
    # Only the first column's 1.0 moves its threshold; sigmoid'(0) = 1/4.
    expected = torch.tensor([[-0.25, 0.0, 0.0]])
    assert torch.allclose(thresholds(store).grad, expected)  # type: ignore[arg-type]
    margin = torch.tensor([[0.5, 1.0, 0.5], [-0.4, 2.0, 0.6]])
    assert torch.allclose(store.importance(), margin)


@pytest.mark.parametrize(
    ("granularity", "shape"),
    [("global", (1, 1)), ("column", (1, WIDTH)), ("row", (IDS, 1)), ("entry", (IDS, WIDTH))],
)
def test_thresholds_are_as_many_as_the_granularity_says(
    granularity: Granularity, shape: tuple[int, int]
) -> None:
    _, table, store = made(granularity=granularity)
    assert thresholds(store).shape == shape
    with torch.no_grad():
        thresholds(store).uniform_(-5.0, -1.0, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([7, 3, 7])
    assert torch.equal(table.lookup(ids), table.rows()[ids])


def test_weight_decay_alone_removes_more_and_more_entries() -> None:
    _, table, store = made(start=-3.0)
    values = store.weight.trainable
    left = [int(table.rows().count_nonzero())]
    for _ in range(100):
        (slope,) = torch.autograd.grad(0.0 * table.rows().sum(), values)
        with torch.no_grad():
            values.sub_(0.1 * (slope + 0.1 * values))
        left.append(int(table.rows().count_nonzero()))
    assert all(later <= earlier for earlier, later in itertools.pairwise(left))
    assert left[-1] < 0.8 * left[0]


def test_the_mask_has_the_entries_farthest_above_their_thresholds() -> None:
    scheme, table, store = made(start=-3.0)
    with torch.no_grad():
        thresholds(store).uniform_(-6.0, -1.0, generator=torch.Generator().manual_seed(1))
        values, bounds = store.weight.trainable.clone(), thresholds(store).sigmoid()
        scheme.end(SEARCH)
        scheme.begin(RETRAIN, torch.Generator())
    order = np.argsort(-(values.abs() - bounds).numpy().ravel(), kind="stable")
    expected = np.zeros(IDS * WIDTH, np.float32)
    expected[order[: entries_of(store)]] = 1.0
    assert np.array_equal(mask_of(store).numpy().ravel(), expected)
    # The thresholds act no more: the entries are what they are.
    assert torch.equal(table.rows(), values * mask_of(store))


def test_the_mask_is_what_exceeds_its_threshold_where_that_is_what_the_budget_pays_for() -> None:
    scheme, _, store = made(start=-1000.0)
    order = store.weight.trainable.detach().abs().flatten().sort(descending=True).values
    bound = order[entries_of(store) - 1 : entries_of(store) + 1].mean()
    with torch.no_grad():
        thresholds(store).fill_(torch.logit(bound).item())
        exceeding = store.rows() != 0
        scheme.end(SEARCH)
    assert torch.equal(mask_of(store) == 1, exceeding)


def test_given_rows_are_read_as_they_were_given() -> None:
    _, table, store = made(start=-2.0)
    assert not table.exact
    rows = torch.randn(IDS, WIDTH, generator=torch.Generator().manual_seed(1))
    table.assign(rows)
    assert torch.allclose(table.rows(), rows, atol=1e-6)
    for weight in table.weights():
        weight.freeze()
    with torch.no_grad():
        table.settle()
    kept = table.rows() != 0
    assert int(kept.sum()) == entries_of(store)
    assert rows[kept].abs().min() >= rows[~kept].abs().max()
    assert torch.allclose(table.rows()[kept], rows[kept], atol=1e-6)


def test_a_budget_that_the_places_alone_exceed_is_refused() -> None:
    with pytest.raises(Infeasible, match="less than the"):
        made(0.01)


def configuration() -> Configuration:
    setting: dict[str, Value] = {"budget": 0.25, "granularity": "entry", "start": -15.0}
    pep = Chosen("pep", setting | {"precision": "fp32"})
    return configuration_of(REGISTRY, FACTORIZATION.name, compressions={"embedding": pep})


def stores_of(built: Built) -> dict[str, ThresholdedRows]:
    parts = (part for part in built.model.modules() if isinstance(part, ThresholdedRows))
    return {store.weight.name: store for store in parts}


def test_the_second_training_moves_the_initial_values_within_the_mask_alone() -> None:
    catalog = catalog_for(FACTORIZATION)
    start = stores_of(build(configuration(), catalog, REGISTRY, seed=3))
    built = build(configuration(), catalog, REGISTRY, seed=3)
    learn(built, catalog, seed=3)
    stores = stores_of(built)
    masks = {name: mask_of(store) for name, store in stores.items()}
    assert stores.keys() == {"user.store", "item.store"}
    for name, store in stores.items():
        mask, values = masks[name] == 1, store.weight.trainable
        assert int(mask.sum()) == entries_of(store)
        assert not store.rows()[~mask].any()
        initial = start[name].weight.trainable
        assert torch.equal(values[~mask], initial[~mask]), "outside, nothing learns"
        assert (values[mask] != initial[mask]).float().mean() > 0.9
    finalize(built)
    for name, store in stores.items():
        assert not store.weight.matrix.dense()[masks[name] == 0].any()


def masks_at(granularity: str, **fixed: Value) -> Tensor:
    setting = settings_of(REGISTRY.component("embedding", "pep"), granularity=granularity, **fixed)
    pep = Chosen("pep", setting)
    made = configuration_of(REGISTRY, FACTORIZATION.name, compressions={"embedding": pep})
    catalog = catalog_for(FACTORIZATION)
    built = build(made, catalog, REGISTRY, seed=3)
    built = replace(built, training=dict(built.training) | {"epochs": 40, "batch_size": 32})
    learn(built, catalog, seed=3)
    return torch.cat([mask_of(store).reshape(-1) for store in stores_of(built).values()])


@pytest.mark.slow
def test_what_shares_a_threshold_changes_what_is_kept_from_the_default_start() -> None:
    assert not torch.equal(masks_at("global"), masks_at("row"))
    # As published: in so short a training thresholds stay at 0, and sizes alone decide.
    assert torch.equal(masks_at("global", start=-15.0), masks_at("row", start=-15.0))
