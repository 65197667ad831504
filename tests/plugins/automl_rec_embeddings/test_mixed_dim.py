from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
import torch

from automl_rec.plugin import Field, Infeasible, PlainTable, Precision, Table
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.mixed_dim import MixedDim

CATALOG = planted_tiny().catalog
WIDTH = 16


def fields(*sizes: int, width: int = WIDTH) -> dict[str, Field]:
    return {
        f"f{j}": Field(f"f{j}", size, width, counts=9000 // np.arange(1, size + 1), scored=True)
        for j, size in enumerate(sizes)
    }


def embedding(
    unit: Literal["block", "field"] = "field",
    *,
    alpha: float | None = None,
    budget: float | None = None,
    blocks: int = 4,
    powers_of_two: bool = False,
    precision: Precision = "fp32",
) -> MixedDim:
    sized = "alpha" if budget is None else "budget"
    return MixedDim(
        unit, powers_of_two, precision, sized, blocks=blocks, budget=budget, alpha=alpha
    )


def widths(plan: Mapping[str, Any]) -> dict[str, list[int]]:
    return {name: structure["widths"] for name, structure in plan.items()}


def table(made: MixedDim, field: Field) -> Table:
    made.adopt(made.plan({field.name: field}, CATALOG))
    return made.table(field, torch.Generator().manual_seed(0))


def state_bytes(made: Table) -> int:
    return sum(tensor.nbytes for tensor in made.state_dict().values())


def test_widths_follow_the_rule_of_popularity() -> None:
    plan = embedding(alpha=0.5).plan(fields(100, 400, 1600, 6400), CATALOG)
    # 16 (100 / n)^0.5; the smallest table holds 100 of 8,500 rows and keeps its width.
    assert widths(plan) == {"f1": [8], "f2": [4], "f3": [2]}
    rounded = embedding(alpha=0.3).plan(fields(100, 400, 1600, 6400), CATALOG)
    assert widths(rounded) == {"f1": [11], "f2": [7], "f3": [5]}  # 10.6, 6.96, 4.59


def test_the_smallest_table_decides_even_where_it_stays_full() -> None:
    plan = embedding(alpha=0.5).plan(fields(4, 1600, 6400), CATALOG)
    assert widths(plan) == {"f1": [1], "f2": [1]}  # 0.8, 0.4


def test_widths_are_rounded_to_powers_of_two_if_wanted() -> None:
    plan = embedding(alpha=0.3, powers_of_two=True).plan(fields(100, 400, 1600, 6400), CATALOG)
    assert widths(plan) == {"f1": [8], "f2": [8], "f3": [4]}  # 2^3.40, 2^2.80, 2^2.20


@pytest.mark.parametrize("unit", ["field", "block"])
@pytest.mark.parametrize("powers_of_two", [False, True])
def test_alpha_0_leaves_every_table_full(
    unit: Literal["block", "field"],
    powers_of_two: bool,  # noqa: FBT001
) -> None:
    made = embedding(unit, alpha=0.0, powers_of_two=powers_of_two)
    assert made.plan(fields(100, 400, 6400, width=12), CATALOG) == {}
    assert isinstance(table(made, fields(6400)["f0"]), PlainTable)


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.7, 1.0])
def test_a_larger_table_or_a_rarer_block_is_never_wider(alpha: float) -> None:
    asked = fields(150, 300, 1000, 5000, 20_000)
    by_table = embedding(alpha=alpha).plan(asked, CATALOG)
    found = [by_table[name]["widths"][0] if name in by_table else WIDTH for name in asked]
    assert found == sorted(found, reverse=True)
    for structure in embedding("block", alpha=alpha).plan(asked, CATALOG).values():
        assert structure["widths"] == sorted(structure["widths"], reverse=True)
        assert structure["sizes"] == sorted(structure["sizes"])


def test_a_block_as_popular_as_a_table_is_as_wide() -> None:
    # The smaller table's 4 equal blocks of 100 ids have a quarter of its events each.
    even = {
        "few": Field("few", 400, WIDTH, counts=np.ones(400, np.int64)),
        "many": Field("many", 6400, WIDTH, counts=np.ones(6400, np.int64)),
    }
    plan = embedding("block", alpha=0.5).plan(even, CATALOG)
    assert widths(plan) == {"many": [4, 4, 4, 4]}  # 16 (400 / 6400)^0.5


def test_rows_projections_and_places_are_counted() -> None:
    field = fields(6400)["f0"]
    plain = table(embedding(budget=0.5), field)
    (store, projection) = plain.weights()
    assert (store.rows, store.columns, projection.rows) == (6400, 7, 7)
    assert state_bytes(plain) == 4 * (6400 * 7 + 7 * 16)
    made = embedding("block", budget=0.3)
    blocks = table(made, field)
    structure = made.plan({"f0": field}, CATALOG)["f0"]
    rows = sum(n * d for n, d in zip(structure["sizes"], structure["widths"], strict=True))
    projected = sum(d for d in structure["widths"] if d < WIDTH) * WIDTH
    assert len(structure["sizes"]) == 4
    assert state_bytes(blocks) == 4 * (rows + projected) + 2 * 6400
    assert [w.sensitive for w in blocks.weights()].count(True) == sum(
        d < WIDTH for d in structure["widths"]
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_bytes_are_those_served(precision: Precision) -> None:
    asked = fields(100, 900, 6400)
    made = embedding("block", alpha=0.4, precision=precision)
    plan = made.plan(asked, CATALOG)
    assert plan
    made.adopt(plan)
    for name in plan:
        built = made.table(asked[name], torch.Generator().manual_seed(0))
        for weight in built.weights():
            weight.freeze()
        made.encode(built)
        assert state_bytes(built) == made.structure_bytes(asked[name], plan[name])


@pytest.mark.parametrize("budget", [0.8, 0.5, 0.25, 0.1, 0.05])
@pytest.mark.parametrize("unit", ["field", "block"])
def test_a_budget_is_kept_and_used(unit: Literal["block", "field"], budget: float) -> None:
    asked = fields(100, 900, 6400, 9100, width=64)
    made = embedding(unit, budget=budget)
    plan = made.plan(asked, CATALOG)
    used = sum(
        made.structure_bytes(f, plan[n]) if n in plan else made.plain_bytes(f)
        for n, f in asked.items()
    )
    whole = sum(4 * f.num_rows * f.width for f in asked.values())
    column = 4 * (9100 + 64)  # of the largest table: the coarsest step there is
    assert budget * whole - column < used <= budget * whole


def test_tables_that_are_alike_shrink_by_one_factor() -> None:
    even = {n: Field(n, 3000, WIDTH, counts=np.ones(3000, np.int64)) for n in ("user", "item")}
    assert widths(embedding(budget=0.3).plan(even, CATALOG)) == {"user": [4], "item": [4]}


def test_a_budget_below_one_column_is_refused() -> None:
    # 96,400 numbers and two projections of 16, of 16 times 96,400.
    with pytest.raises(Infeasible, match=r"less than the 0.0625 that this embedding needs"):
        embedding(budget=0.05).plan(fields(6400, 90_000), CATALOG)


def test_ids_without_counts_are_one_block() -> None:
    field = Field("item", 500, WIDTH)
    structure = embedding("block", budget=0.5).plan({"item": field}, CATALOG)["item"]
    assert structure["sizes"] == [500]
    never = Field("item", 500, WIDTH, counts=np.zeros(500, np.int64))
    assert embedding("block", budget=0.5).plan({"item": never}, CATALOG)["item"] == structure


def test_every_block_is_assigned_its_truncated_svd() -> None:
    field = fields(600)["f0"]
    made = embedding("block", budget=0.4)
    built = table(made, field)
    rows = torch.randn(600, WIDTH, generator=torch.Generator().manual_seed(1))
    built.assign(rows)
    structure = made.plan({"f0": field}, CATALOG)["f0"]
    start = 0  # counts fall with the id
    for size, width in zip(structure["sizes"], structure["widths"], strict=True):
        own = slice(start, start + size)
        tail = torch.linalg.svdvals(rows[own].double())[width:].square().sum().sqrt().item()
        error = (built.rows()[own] - rows[own]).double().norm().item()
        assert error == pytest.approx(tail, rel=1e-5, abs=1e-4)
        start += size


def test_a_lookup_trains_its_own_block_alone() -> None:
    field = fields(600)["f0"]
    built = table(embedding("block", budget=0.4), field)
    assert isinstance(built, ComposedTable)
    built.lookup(torch.tensor([599, 598, 599])).sum().backward()
    touched = [
        bool(w.trainable.grad is not None and w.trainable.grad.any())
        for w in built.weights()
        if not w.sensitive
    ]
    assert touched == [False, False, False, True]


def test_rows_start_with_the_deviation_of_the_field_in_every_block() -> None:
    field = fields(6400)["f0"]
    made = embedding("block", budget=0.4)
    rows = table(made, field).rows()
    sizes = made.plan({"f0": field}, CATALOG)["f0"]["sizes"]
    for own in rows.split(sizes):
        assert own.std().item() == pytest.approx(0.1, rel=0.35)


def test_scoring_multiplies_every_block_and_a_lookup_reads_one() -> None:
    stores = table(embedding("block", budget=0.4), fields(600)["f0"]).weights()
    narrow = [w for w in stores if not w.sensitive]
    assert [w.use.products for w in narrow] == [1.0] * 4
    assert [w.use.rows for w in narrow] == [0.25] * 4
    assert {w.use.products for w in stores if w.sensitive} == {1.25}
