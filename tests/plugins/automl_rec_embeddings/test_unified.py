import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Field, Infeasible, PlainTable, Precision, Table, Weight
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.unified import Unified

USER = Field("user", 500, 20, counts=np.arange(500), lookups=1.0)
ITEM = Field("item", 300, 20, counts=np.arange(300)[::-1].copy(), lookups=3.0, scored=True)
NARROW = Field("weight", 800, 5)
FULL = (500 * 20 + 300 * 20 + 800 * 5) * 4


def unified(
    budget: float | None = None,
    ratio: float | None = None,
    chunk_width: int = 8,
    precision: Precision = "fp32",
) -> Unified:
    sized_by = "ratio" if budget is None else "budget"
    return Unified(chunk_width, precision, sized_by, budget, ratio)


def tables(embedding: Unified, *fields: Field, seed: int = 0) -> dict[str, Table]:
    named = {field.name: field for field in fields}
    embedding.adopt(embedding.plan(named, planted_tiny().catalog))
    drawn = torch.Generator().manual_seed(seed)
    return {name: embedding.table(field, drawn) for name, field in named.items()}


def stored(made: dict[str, Table]) -> Weight:
    (weight,) = (weight for table in made.values() for weight in table.weights())
    return weight


def held(made: dict[str, Table]) -> int:
    return sum(t.nbytes for table in made.values() for t in table.state_dict().values())


def slots(table: Table, size: int) -> list[Tensor]:
    """Which of so many rows each chunk of each id reads, by the coefficients that are kept."""
    coefficients = table.state_dict()["transform.coefficients"].tolist()
    ids = range(table.num_rows)
    return [torch.tensor([(a * x + b) % (2**31 - 1) % size for x in ids]) for a, b in coefficients]


def test_a_row_is_chunks_of_the_one_store_side_by_side_the_last_one_cut() -> None:
    made = tables(unified(ratio=0.1), USER, ITEM)
    store = stored(made).trainable
    assert store.shape == (200, 8)  # a tenth of 16,000 numbers
    for table in made.values():
        read = torch.cat([store[at] for at in slots(table, 200)], dim=1)
        assert torch.equal(table.rows(), read[:, :20])


def test_bytes_are_those_of_the_store_and_of_a_function_for_each_chunk() -> None:
    made = tables(unified(ratio=0.1), USER, ITEM)
    assert held(made) == 200 * 8 * 4 + 2 * 3 * 16
    assert len(made["user"].weights()) == 1
    assert made["item"].weights() == ()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("budget", [0.01, 0.05, 0.2])
def test_a_budget_is_that_of_all_tables_and_used_but_for_a_row(
    budget: float, precision: Precision
) -> None:
    embedding = unified(budget, precision=precision)
    made = tables(embedding, USER, ITEM, NARROW)
    for table in made.values():
        for weight in table.weights():
            weight.freeze()
        embedding.encode(table)
    assert int(budget * FULL) - 8 * 4 - 4 < held(made) <= budget * FULL


def test_the_number_of_tables_does_not_change_the_store() -> None:
    few, many = unified(0.1), unified(0.1)
    halves = [Field(f"part-{n}", 400, 20) for n in range(8)]
    sizes = [
        sum(w.rows * w.columns for table in made.values() for w in table.weights())
        for made in (tables(few, Field("whole", 3200, 20)), tables(many, *halves))
    ]
    assert abs(sizes[0] - sizes[1]) <= 7 * 3 * 16 / 4 + 8  # seven more tables' coefficients


def test_the_same_id_has_different_rows_in_two_tables() -> None:
    made = tables(unified(0.25), USER, ITEM)
    rows = made["user"].rows()[:300]
    assert (rows - made["item"].rows()).norm(dim=1).min() > 0


def test_slopes_of_all_tables_meet_in_the_store() -> None:
    made = tables(unified(ratio=0.02), USER, ITEM)
    store = stored(made)
    slopes = []
    for table in made.values():
        table.lookup(torch.arange(30)).sum().backward()
        slope = store.trainable.grad
        assert slope is not None
        slopes.append(slope.clone())
        store.trainable.grad = None
    sum(table.lookup(torch.arange(30)).sum() for table in made.values()).backward()  # type: ignore[union-attr]
    assert store.trainable.grad is not None
    assert torch.allclose(store.trainable.grad, slopes[0] + slopes[1])


def test_its_use_adds_up_over_the_tables() -> None:
    use = stored(tables(unified(0.25), USER, ITEM)).use
    assert use.rows == 3 * 1.0 + 3 * 3.0  # three chunks a row
    assert use.products == 3.0  # only items are scored, by each chunk


def test_values_are_the_least_squares_fit_to_every_table() -> None:
    made = tables(unified(ratio=0.02), USER, ITEM)
    drawn = torch.Generator().manual_seed(3)
    wanted = {
        name: torch.randn(table.num_rows, 20, generator=drawn) for name, table in made.items()
    }
    made["user"].assign(torch.zeros(500, 20))  # is replaced by what comes later
    for name, table in made.items():
        table.assign(wanted[name])
    size = stored(made).rows
    designs, targets = [], []
    for name, field in (("user", USER), ("item", ITEM)):
        assert field.counts is not None
        root = torch.from_numpy(1.0 + field.counts).sqrt()
        for j, read in enumerate(slots(made[name], size)):
            design = torch.zeros(field.num_rows, size, dtype=torch.float64)
            design[torch.arange(field.num_rows), read] = root
            chunk = torch.full((field.num_rows, 8), torch.nan, dtype=torch.float64)
            piece = wanted[name][:, 8 * j : 8 * j + 8].double()
            chunk[:, : piece.shape[1]] = piece * root[:, None]
            designs.append(design)
            targets.append(chunk)
    design, target = torch.cat(designs), torch.cat(targets)
    for column in range(8):
        known = target[:, column].isfinite()
        found = torch.linalg.lstsq(design[known], target[known, column]).solution
        assert torch.allclose(stored(made).trainable[:, column].double(), found, atol=1e-4)


def test_what_no_table_wants_stays() -> None:
    made = tables(unified(0.25), Field("user", 2000, 8), Field("item", 10_000, 8))
    before = stored(made).trainable.detach().clone()
    made["user"].assign(torch.zeros(2000, 8))
    after = stored(made).trainable
    read = torch.zeros(len(before), dtype=torch.bool)
    read[slots(made["user"], len(before))[0]] = True
    assert not after[read].any()
    assert torch.equal(after[~read], before[~read])


def test_chunks_are_no_wider_than_the_widest_table() -> None:
    assert stored(tables(unified(0.25, chunk_width=32), USER, ITEM)).columns == 20


def test_the_store_starts_with_the_deviation_of_what_it_holds() -> None:
    fields = (Field("first", 4000, 1, std=0.01), Field("vectors", 4000, 16, std=0.1))
    made = tables(unified(0.25), *fields)
    spread = ((0.01**2 + 16 * 0.1**2) / 17) ** 0.5
    assert made["vectors"].rows().std().item() == pytest.approx(spread, rel=0.05)


def test_small_tables_stay_full_and_all_do_where_a_store_would_not_save() -> None:
    made = tables(unified(0.25), Field("item", 5000, 16), Field("day", 7, 16))
    assert isinstance(made["day"], PlainTable)
    assert held(made) <= 0.25 * 5007 * 16 * 4
    assert all(isinstance(t, PlainTable) for t in tables(unified(ratio=1.0), USER, ITEM).values())


def test_budgets_out_of_reach_are_refused() -> None:
    with pytest.raises(Infeasible, match="Raise"):
        tables(unified(0.001), USER)
    with pytest.raises(Infeasible, match="Lower"):
        tables(unified(1.0, precision="int8"), USER)
