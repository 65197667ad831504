import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.builder import build, finalize, restore
from automl_rec.errors import Infeasible
from automl_rec.plugin import Catalog, Field, Histories, PlainTable, Table
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import configuration_of
from automl_rec.testing.planted import planted_interactions, planted_rows, planted_tiny
from automl_rec_embeddings.communities import Communities
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.graphhash import GraphHash
from automl_rec_embeddings.graphs import Graph

USERS, ITEMS, WIDTH = 300, 200, 8
CATALOG = planted_interactions(users=USERS, items=ITEMS, blocks=10, events=20).catalog
FIELDS = {
    name: Field(name, size, WIDTH, counts=CATALOG.counts(name), scored=name == "item", ids=name)
    for name, size in (("user", USERS), ("item", ITEMS))
}


def tables(
    resolution: float | None = None,
    *,
    budget: float | None = None,
    double: bool = False,
    seed: int = 0,
) -> dict[str, Table]:
    by = "budget" if resolution is None else "resolution"
    embedding = GraphHash("fp32", by, double, budget, resolution)
    embedding.adopt(embedding.plan(FIELDS, CATALOG))
    generator = torch.Generator().manual_seed(seed)
    return {name: embedding.table(field, generator) for name, field in FIELDS.items()}


def item_table(resolution: float = 1.0, *, double: bool = False) -> Table:
    return tables(resolution, double=double)["item"]


def state_bytes(made: Table) -> int:
    return sum(tensor.nbytes for tensor in made.state_dict().values())


def labels(ids: str, resolution: float) -> Tensor:
    found = Communities(Graph("user", "item"), CATALOG).labels(ids, resolution)
    return torch.from_numpy(found.astype(np.int64))


def test_ids_share_rows_exactly_if_they_share_a_community() -> None:
    for ids, made in tables(10.0).items():
        rows = made.rows().detach()
        own = labels(ids, 10.0)
        same = (rows[:, None] == rows[None]).all(-1)
        assert torch.equal(same, own[:, None] == own[None])
        assert len(rows.unique(dim=0)) == made.weights()[0].rows < len(rows)


def test_rows_and_labels_are_all_that_is_stored() -> None:
    assert state_bytes(item_table()) == 10 * 8 * 4 + 200  # 10 blocks; labels of one byte
    assert state_bytes(item_table(double=True)) == 10 * 8 * 4 + 200 + 16  # and coefficients


def test_doubled_rows_are_the_sum_of_two_of_the_same_store() -> None:
    made = item_table(double=True)
    (weight,) = made.weights()
    store = weight.matrix.dense()
    a, b = made.get_buffer("transform.parts.1.coefficients")[0].tolist()
    hashed = torch.tensor([(a * i + b) % (2**31 - 1) % 10 for i in range(ITEMS)])
    assert torch.allclose(made.rows(), store[labels("item", 1.0)] + store[hashed])
    assert weight.use.rows == 2.0
    assert weight.use.products == 1.0


def test_doubled_rows_start_with_the_deviation_of_the_field() -> None:
    made = item_table(10.0, double=True)
    assert made.rows().std().item() == pytest.approx(0.1, rel=0.2)


def test_doubled_rows_are_assigned_in_least_squares() -> None:
    made = item_table(double=True)
    assert isinstance(made, ComposedTable)
    slots = made.transform(torch.arange(ITEMS))
    wanted = torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(1))
    made.assign(wanted)
    roots = (CATALOG.item_counts + 1.0) ** 0.5
    reads = np.zeros((ITEMS, 10))
    for slot in slots:
        np.add.at(reads, (np.arange(ITEMS), slot.numpy()), 1.0)
    best = np.linalg.lstsq(roots[:, None] * reads, roots[:, None] * wanted.numpy())[0]
    assert np.allclose(made.rows().detach(), reads @ best, atol=1e-4)


@pytest.mark.parametrize("budget", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("double", [False, True])
def test_a_budget_is_used_up_to_the_steps_of_the_resolution(budget: float, *, double: bool) -> None:
    limit = budget * (USERS + ITEMS) * WIDTH * 4
    used = sum(state_bytes(made) for made in tables(budget=budget, double=double).values())
    assert 0.85 * limit < used <= limit


def test_a_budget_below_the_fewest_communities_is_out_of_reach() -> None:
    with pytest.raises(Infeasible, match=r"less than the .* that this embedding needs"):
        tables(budget=0.02)


def test_communities_do_not_depend_on_the_seed() -> None:
    for first, second in zip(
        tables(10.0, seed=0).values(), tables(10.0, seed=1).values(), strict=True
    ):
        assert torch.equal(
            first.get_buffer("transform.remap"), second.get_buffer("transform.remap")
        )


def test_budgets_share_the_communities_they_try() -> None:
    catalog = Catalog(ITEMS, CATALOG.histories)

    def plan(budget: float) -> int:
        GraphHash("fp32", "budget", double=False, budget=budget).plan(FIELDS, catalog)
        return len(catalog._derived)

    first = plan(0.25)
    assert first < 14
    assert plan(0.25) == first
    assert plan(0.3) < 2 * first - 3  # the two ends and the first halves are known


def test_tables_that_would_not_shrink_or_have_no_graph_stay_full() -> None:
    assert all(isinstance(made, PlainTable) for made in tables(5000.0).values())
    nobody = Catalog(ITEMS, Histories(np.zeros(USERS + 1, np.int64), np.zeros(0, np.int32)))
    embedding = GraphHash("fp32", "resolution", double=False, resolution=1.0)
    assert embedding.plan(FIELDS, nobody) == {}
    uncounted = {"item": Field("item", ITEMS, WIDTH)}
    assert embedding.plan(uncounted, CATALOG) == {}


def test_features_and_fields_of_rows_have_communities_of_their_own() -> None:
    catalog = planted_tiny().catalog
    embedding = GraphHash("fp32", "resolution", double=False, resolution=1.0)
    counts = catalog.counts("item.tags")
    tags = Field("tags", len(counts), 16, counts=counts, ids="item.tags")
    plan = embedding.plan({"tags": tags}, catalog)
    graph = Communities(Graph("user", "item.tags"), catalog)
    assert plan["tags"]["slots"] == graph.count("item.tags", 1.0) < len(counts)
    rows, _ = planted_rows(rows=600)
    counts = rows.counts("item")
    item = Field("item.first", len(counts), 16, counts=counts, ids="item")
    plan = embedding.plan({"item.first": item}, rows)
    assert plan["item.first"]["slots"] == Communities(Graph("item", "user"), rows).count(
        "item", 1.0
    )


def test_an_artefact_is_loaded_without_a_search() -> None:
    registry = Registry.discover()
    chosen = Chosen(
        "graphhash",
        {"sized_by": "resolution", "resolution": 1.0, "double": True, "precision": "fp32"},
    )
    configuration = configuration_of(registry, "bpr-mf", compressions={"embedding": chosen})
    served = finalize(build(configuration, CATALOG, registry, seed=0))
    priced = price(configuration, CATALOG, registry)
    assert priced.bytes.low == priced.bytes.high == served.bytes
    fresh = Catalog(ITEMS, CATALOG.histories)
    loaded = restore(configuration, fresh, registry, served.structure(), served.tensors())
    assert not fresh._derived
    for name, tensor in served.tensors().items():
        assert torch.equal(loaded.tensors()[name], tensor)
