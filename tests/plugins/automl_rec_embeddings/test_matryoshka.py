from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from automl_rec.builder import Built, build, finalize
from automl_rec.errors import Infeasible
from automl_rec.plugin import Catalog, Field, Phase, Table, TrainableMatrix, Value
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import (
    all_requests,
    answers,
    catalog_for,
    check_artefact,
    configuration_of,
    learn,
    trained,
)
from automl_rec.testing.planted import planted_tiny
from automl_rec.testing.settings import settings_of
from automl_rec_embeddings.matryoshka import Matryoshka, block_triangle, columns_at
from automl_rec_models.sequential.gru import Gru
from automl_rec_models.sequential.sasrec import SasRec

REGISTRY = Registry.discover()
CATALOG = planted_tiny().catalog
FIELDS = {
    "user": Field("user", 40, 8, ids="user"),
    "item": Field("item", 60, 8, scored=True, ids="item"),
}
NESTING = [name for name, model in REGISTRY.components("model").items() if model.load().nests]
WIDTH = 8


def matryoshka(levels: int = 3, level: int = 0, **changes: Any) -> Matryoshka:
    settings: dict[str, Any] = {"nested": False, "precision": "fp32", "sized_by": "level"}
    return Matryoshka(levels=levels, level=level, **settings | changes)


def within(budget: float, levels: int = 3, precision: str = "fp32") -> int:
    """The level that a budget serves."""
    changes: dict[str, Any] = {"sized_by": "budget", "budget": budget, "precision": precision}
    plan = Matryoshka(levels, nested=False, **changes).plan(FIELDS, CATALOG)
    return int(plan["served"])


def tables(embedding: Matryoshka) -> dict[str, Table]:
    embedding.adopt(embedding.plan(FIELDS, CATALOG))
    generator = torch.Generator().manual_seed(0)
    return {name: embedding.table(field, generator) for name, field in FIELDS.items()}


def begun(embedding: Matryoshka, seed: int = 0) -> None:
    with torch.no_grad():
        embedding.begin(Phase("train"), torch.Generator().manual_seed(seed))


def widths_read(embedding: Matryoshka, table: Table) -> list[int]:
    """How many columns the table has in each call of the own loss of one step."""
    found = []

    def own() -> Tensor:
        found.append(int(table.rows().any(0).sum()))
        return torch.zeros(())

    embedding.loss(own)
    return found


def configured(model: str, settings: dict[str, Value], **embedding: Value) -> Configuration:
    component = REGISTRY.component("model", model)
    values = settings_of(component) | settings
    plain: dict[str, Value] = {
        "levels": 3, "nested": False, "sized_by": "level", "level": 0, "precision": "fp32",
    }  # fmt: skip
    chosen = Chosen("matryoshka", plain | embedding)
    return configuration_of(REGISTRY, model, values, {"embedding": chosen})


def of_width(model: str, width: int) -> dict[str, Value]:
    """Hyperparameters that make every table and weight of a model so wide."""
    known = REGISTRY.component("model", model).hyperparameters
    return {name: width for name in ("width", "hidden") if name in known}


def stored_rows(built: Built, name: str) -> Tensor:
    """The whole rows that a table was trained with, (N, D)."""
    (weight,) = built.layers.tables[name].weights()
    assert isinstance(weight.matrix, TrainableMatrix)
    return weight.trainable.detach().clone()


def test_a_level_keeps_half_of_the_columns_so_many_times_over() -> None:
    assert [columns_at(64, level) for level in range(4)] == [64, 32, 16, 8]
    assert [columns_at(50, level) for level in range(5)] == [50, 25, 13, 7, 4]
    assert [columns_at(1, level) for level in range(3)] == [1, 1, 1]


def test_a_step_computes_the_loss_at_every_level_and_follows_the_mean() -> None:
    embedding = matryoshka()
    table = tables(embedding)["item"]
    assert widths_read(embedding, table) == [8, 4, 2, 1]
    values = iter([1.0, 2.0, 4.0, 9.0])
    assert embedding.loss(lambda: torch.tensor(next(values))).item() == 4.0
    assert bool(table.rows().any(0).all()), "outside of the loss the rows are whole"


def test_a_width_is_not_halved_below_one() -> None:
    embedding = matryoshka(levels=7)
    assert widths_read(embedding, tables(embedding)["user"]) == [8, 4, 2, 1]


@pytest.mark.parametrize(("call", "columns"), [(0, 8), (1, 4), (2, 2), (3, 1)])
def test_the_term_of_a_size_has_no_gradient_beyond_its_columns(call: int, columns: int) -> None:
    embedding = matryoshka()
    table = tables(embedding)["item"]
    ids, calls = torch.tensor([3, 5, 3]), iter(range(4))
    embedding.loss(lambda: table.lookup(ids).sum() * float(next(calls) == call)).backward()
    (weight,) = table.weights()
    gradient = weight.trainable.grad
    assert gradient is not None
    wanted = torch.zeros(60, 8)
    wanted[3, :columns], wanted[5, :columns] = 2 / 4, 1 / 4  # of the mean over four sizes
    assert torch.equal(gradient, wanted)


def test_rows_lookups_and_scores_agree_at_every_size() -> None:
    embedding = matryoshka()
    table = tables(embedding)["item"]
    x = torch.linspace(-1, 1, 24).reshape(3, 8)

    def own() -> Tensor:
        assert torch.equal(table.lookup(torch.arange(60)), table.rows())
        assert torch.allclose(table.score(x), x @ table.rows().T, atol=1e-6)
        return torch.zeros(())

    embedding.loss(own)


def nodes(tensor: Tensor) -> list[str]:
    """The names of the operations that gave a tensor, each once."""
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return [node.name() for node in seen]


def test_the_sizes_of_a_step_share_one_read_of_the_same_ids() -> None:
    embedding = matryoshka()
    table = tables(embedding)["item"]
    (weight,) = table.weights()
    some, other = torch.tensor([3, 5]), torch.tensor([7])
    loss = embedding.loss(lambda: (table.lookup(some) * table.lookup(other)).sum() / 2)
    assert nodes(loss).count("IndexSelectBackward0") == 2
    with torch.no_grad():
        weight.trainable.add_(1.0)
    assert torch.equal(table.lookup(other), weight.trainable[other]), "nothing is kept"


def test_what_a_model_does_to_rows_it_has_read_stays_with_it() -> None:
    embedding = matryoshka()
    table, ids = tables(embedding)["item"], torch.tensor([3, 5])
    whole = table.rows().detach()[ids]
    found = []

    def own() -> Tensor:
        with torch.no_grad():
            assert not table.lookup(ids + 1).requires_grad
        assert table.lookup(ids + 1).requires_grad
        rows = table.lookup(ids)
        found.append(rows.detach().clone())
        return rows.mul_(0.0).sum()

    embedding.loss(own).backward()
    for rows, columns in zip(found, (8, 4, 2, 1), strict=True):
        assert torch.equal(rows[:, :columns], whole[:, :columns])


def test_the_sandwich_is_the_largest_the_smallest_and_one_between() -> None:
    embedding = matryoshka(sizes_a_step="sandwich")
    table = tables(embedding)["item"]
    begun(embedding)
    found = [widths_read(embedding, table) for _ in range(60)]
    assert all((largest, smallest) == (8, 1) for largest, _, smallest in found)
    middle = [between for _, between, _ in found]
    assert set(middle) == {4, 2}
    assert 15 < middle.count(4) < 45


def test_draws_follow_from_the_generator_and_go_on_from_the_state() -> None:
    first, second = (matryoshka(sizes_a_step="sandwich") for _ in range(2))
    (one, other) = (tables(embedding) for embedding in (first, second))
    begun(first, seed=1)
    begun(second, seed=1)
    drawn = [
        [widths_read(e, t["item"]) for _ in range(20)] for e, t in ((first, one), (second, other))
    ]
    assert drawn[0] == drawn[1]
    begun(second, seed=2)
    other["user"].load_state_dict(one["user"].state_dict())
    drawn = [
        [widths_read(e, t["item"]) for _ in range(20)] for e, t in ((first, one), (second, other))
    ]
    assert drawn[0] == drawn[1]


def test_only_tables_of_a_sandwich_hold_the_state_of_draws_and_only_in_training() -> None:
    plain, drawing = tables(matryoshka()), tables(matryoshka(sizes_a_step="sandwich"))
    names = {name for table in plain.values() for name in table.state_dict()}
    assert names == {"stores.0.weight.matrix.weight"}
    table = drawing["user"]
    assert "stores.0.drawn" in table.state_dict()
    table.settle()
    assert set(table.state_dict()) == names


def test_without_levels_it_trains_as_the_plain_model_does() -> None:
    plain = configuration_of(REGISTRY, "bpr-mf")
    changed = configured("bpr-mf", {}, levels=0)
    first, second = (
        answers(finalize(trained(made, CATALOG, REGISTRY)), CATALOG) for made in (plain, changed)
    )
    assert torch.equal(first, second)


def test_a_budget_serves_the_largest_prefix_that_keeps_it() -> None:
    assert [within(budget) for budget in (1.0, 0.99, 0.5, 0.49, 0.25, 0.2, 0.125)] == [
        *(0, 1, 1, 2, 2, 3, 3)
    ]
    assert within(0.5, precision="fp16") == 0
    # A row of int8 takes one byte a column and four of its step, where the full one takes 32.
    assert [within(budget, precision="int8") for budget in (0.375, 0.374, 0.25, 0.2)] == [
        0,
        1,
        1,
        2,
    ]


def test_a_budget_out_of_reach_is_refused() -> None:
    with pytest.raises(Infeasible, match=r"is 384 bytes, but the smallest .* needs 400"):
        within(0.12)
    with pytest.raises(Infeasible, match=r"is 704 bytes, but the smallest .* needs 800"):
        within(0.22, levels=2)
    with pytest.raises(Infeasible, match="more than twice what this embedding can use"):
        within(1.0, precision="int8")


def test_a_level_that_is_not_trained_is_refused() -> None:
    with pytest.raises(Infeasible, match=r"Level 3 of matryoshka .* the 2 times"):
        matryoshka(levels=2, level=3).plan(FIELDS, CATALOG)
    with pytest.raises(Infeasible, match=r"Level 4 of matryoshka .* a width of 8 .* the 3 times"):
        matryoshka(levels=7, level=4).plan(FIELDS, CATALOG)


@pytest.mark.parametrize(("precision", "row"), [("fp32", 8), ("fp16", 4), ("int8", 6)])
def test_the_bytes_are_those_of_two_columns_of_eight(precision: str, row: int) -> None:
    made = configured("bpr-mf", of_width("bpr-mf", WIDTH), level=2, precision=precision)
    rows = CATALOG.num_users + CATALOG.num_items
    assert price(made, CATALOG, REGISTRY).bytes == (rows * row, rows * row)
    assert finalize(build(made, CATALOG, REGISTRY, seed=0)).bytes == rows * row


def test_a_training_is_watched_by_what_is_served() -> None:
    table = tables(matryoshka(level=1))["item"]
    (weight,) = table.weights()
    whole = weight.trainable.detach()
    assert torch.equal(table.rows(), whole)
    table.eval()
    assert torch.equal(table.rows()[:, :4], whole[:, :4])
    assert not table.rows()[:, 4:].any()


def test_what_is_served_scores_as_what_was_trained_at_its_level() -> None:
    built = trained(configured("sasrec", {"width": WIDTH, "heads": 2}, level=1), CATALOG, REGISTRY)
    requests = all_requests(CATALOG)
    assert isinstance(built.model, SasRec)
    with torch.no_grad():
        before = built.model.eval().scores(requests)
    assert torch.allclose(finalize(built).scores(requests), before, atol=1e-6)


def test_products_with_a_prefix_of_the_output_table_are_the_scores_of_sasrec() -> None:
    """Its states are of full width, over rows filled up with zeros."""
    built = trained(configured("sasrec", {"width": WIDTH, "heads": 2}, level=2), CATALOG, REGISTRY)
    rows = stored_rows(built, "item")
    served = finalize(built)
    requests = all_requests(CATALOG)
    assert isinstance(served.model, SasRec)
    histories = requests.recent(served.model.position.num_rows)
    with torch.no_grad():
        states = served.model.states(histories, last=True)[:, 0]
    assert states[:, 2:].any()
    assert torch.allclose(served.scores(requests), states[:, :2] @ rows[:, :2].T, atol=1e-6)


def test_lightgcn_ships_prefixes_of_its_spread_rows_and_no_graph() -> None:
    served = finalize(trained(configured("lightgcn", {"width": WIDTH}, level=1), CATALOG, REGISTRY))
    assert {name: t.shape[1] for name, t in served.tensors().items()} == {
        "user.stores.0.weight.matrix.corner.values": 4,
        "item.stores.0.weight.matrix.corner.values": 4,
    }


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("name", NESTING)
def test_a_prefix_of_a_model_that_nests_is_the_model_of_that_width(name: str, level: int) -> None:
    settings = of_width(name, WIDTH)
    built = trained(configured(name, settings, level=level, nested=True), CATALOG, REGISTRY)
    small = build(
        configured(name, of_width(name, WIDTH >> level), levels=0), CATALOG, REGISTRY, seed=1
    )
    slice_into(small, built)
    first, second = (answers(finalize(made), CATALOG) for made in (built, small))
    assert second.std() > 1e-3
    assert torch.allclose(first, second, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def slice_into(small: Built, large: Built) -> None:
    """Gives a model the first rows and columns of what acts in a larger one."""
    values: dict[str, Tensor] = dict(large.model.named_parameters())
    for name, weight in large.layers.weights.items():
        values[name] = weight.matrix.dense()
    small.model.eval()
    for name, weight in small.layers.weights.items():
        weight.assign(values.pop(name)[: weight.rows, : weight.columns])
    for name, parameter in small.model.named_parameters():
        if name.endswith("bias"):
            parameter.copy_(values[name][: len(parameter)])


def gru(width: int = WIDTH, **embedding: Value) -> Configuration:
    settings: dict[str, Value] = {"width": width, "hidden": width, "depth": 2, "dropout": 0.0}
    return configured("gru", settings, **embedding)


@torch.no_grad()
def states(built: Built) -> Tensor:
    """(U L, D) of all histories, with whole rows."""
    histories = all_requests(CATALOG).recent(12)
    assert isinstance(built.model, Gru)
    return built.model.train().states(histories, torch.ones(histories.shape, dtype=torch.bool))


@pytest.mark.parametrize("columns", [4, 2, 1])
def test_a_sliced_gru_gives_a_prefix_of_every_state_if_it_was_nested(columns: int) -> None:
    for nested in (True, False):
        large = trained(gru(nested=nested), CATALOG, REGISTRY)
        small = build(gru(columns, levels=0), CATALOG, REGISTRY, seed=1)
        slice_into(small, large)
        error = (states(small) - states(large)[:, :columns]).abs().max().item()
        assert (error <= 1e-6) == nested


def test_nested_weights_are_stored_as_their_corners() -> None:
    made = gru(level=2, nested=True)
    served = finalize(build(made, CATALOG, REGISTRY, seed=0))
    weights = 2 * 6 + 1  # three gates of two matrices in two levels, and the last
    biases = weights * WIDTH
    assert served.bytes - served.bytes_tables == 4 * (weights * 2 * 2 + biases)
    assert price(made, CATALOG, REGISTRY).bytes == (served.bytes, served.bytes)


def test_a_block_reads_its_own_prefix_alone() -> None:
    assert block_triangle(4, {1, 2, 4}).tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
    ]


def test_two_thirds_of_a_nested_weight_are_used_where_widths_double() -> None:
    sizes = {8 << k for k in range(8)}
    assert block_triangle(1024, sizes).mean().item() == pytest.approx(2 / 3, abs=1e-3)


def refused(configuration: Configuration, reason: str) -> None:
    with pytest.raises(Infeasible, match=reason):
        price(configuration, CATALOG, REGISTRY)
    with pytest.raises(Infeasible, match=reason):
        build(configuration, CATALOG, REGISTRY, seed=0)


def test_a_model_that_does_not_nest_is_refused() -> None:
    made = configured("sasrec", {"width": WIDTH, "heads": 2}, nested=True)
    refused(made, "which this one does not say it is")
    unequal = configured("gru", {"width": 8, "hidden": 16}, nested=True)
    refused(unequal, r"the tables' width to itself, \[8\], but level0.reset_input is 16 x 8")


def compressed(kind: str, name: str, base: Configuration, **fixed: Value) -> Configuration:
    component = REGISTRY.component(cast("Any", kind), name)
    parts: dict[str, Any] = {"rank": base.rank, "sparsity": base.sparsity}
    parts[kind] = Chosen(name, settings_of(component, **fixed))
    return Configuration(base.model, base.embedding, parts["rank"], parts["sparsity"])


def test_a_sparsity_that_masks_in_training_is_refused_beside_nested_weights() -> None:
    gradual: dict[str, Value] = {"density": 0.5, "mode": "gradual"}
    refused(
        compressed("sparsity", "magnitude", gru(nested=True), **gradual),
        "and the rank or sparsity would",
    )
    allowed = compressed("sparsity", "magnitude", gru(), **gradual)
    assert price(allowed, CATALOG, REGISTRY).bytes.high > 0


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_rank_sparsity_and_codec_act_on_the_corners(
    tmp_path: Path, precision: str, *, nested: bool
) -> None:
    made = gru(32, level=1, nested=nested, precision=precision)
    made = compressed("rank", "svd", made, ratio=0.25)
    made = compressed("sparsity", "magnitude", made, density=0.5, mode="one-shot")
    catalog: Catalog = catalog_for(REGISTRY.component("model", "gru"))
    served = check_artefact(trained(made, catalog, REGISTRY), catalog, REGISTRY, tmp_path)
    plain = finalize(
        trained(gru(32, level=1, nested=nested, precision=precision), catalog, REGISTRY)
    )
    assert served.bytes < 0.75 * plain.bytes


def test_a_nested_weight_keeps_its_zeros_while_it_trains() -> None:
    built = trained(gru(nested=True), CATALOG, REGISTRY)
    allowed = block_triangle(WIDTH, {1, 2, 4, 8}).bool()
    linears = [w for w in built.layers.weights.values() if w.role == "linear"]
    assert len(linears) == 13
    for weight in linears:
        dense = weight.matrix.dense()
        assert not dense[~allowed].any()
        assert dense[allowed].all()


@pytest.mark.parametrize("learns", [True, False])
def test_cosines_are_those_of_the_prefix_served(*, learns: bool) -> None:
    made = configured("mf", of_width("mf", WIDTH) | {"loss": "ccl"}, level=2)
    built = build(made, CATALOG, REGISTRY, seed=0)
    if learns:
        learn(built, CATALOG)
    prefixes = {name: stored_rows(built, name)[:, :2] for name in ("user", "item")}
    users, items = (normalize(prefixes[name]) for name in ("user", "item"))
    assert torch.allclose(answers(finalize(built), CATALOG), users @ items.T, atol=1e-6)
