import itertools

import numpy as np
import pytest
import torch

from automl_rec.plugin import Field, PlainTable, Table
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.combinations.by_name import Name
from automl_rec_embeddings.qr import QR

IDS, WIDTH = 1000, 8
COMBINATIONS: tuple[Name, ...] = ("mul", "sum", "concat")


def table(
    combine: Name = "mul",
    *,
    collisions: int | None = None,
    budget: float | None = None,
    ids: int = IDS,
    width: int = WIDTH,
) -> Table:
    sized = "budget" if collisions is None else "collisions"
    embedding = QR(combine, "fp32", sized, budget=budget, collisions=collisions)
    field = Field("item", ids, width, counts=np.arange(ids), scored=True)
    embedding.adopt(embedding.plan({"item": field}, planted_tiny().catalog))
    return embedding.table(field, torch.Generator().manual_seed(0))


def shapes(made: Table) -> list[tuple[int, int]]:
    return [(weight.rows, weight.columns) for weight in made.weights()]


def state_bytes(made: Table) -> int:
    return sum(tensor.nbytes for tensor in made.state_dict().values())


def test_quotients_and_remainders_and_two_numbers_are_stored() -> None:
    made = table(collisions=4)
    assert shapes(made) == [(250, 8), (4, 8)]
    assert state_bytes(made) == 4 * 8 * (250 + 4) + 16
    assert shapes(table("concat", collisions=4, width=9)) == [(250, 5), (4, 4)]


def test_collisions_stop_where_rows_are_fewest() -> None:
    assert shapes(table(collisions=4096)) == [(32, 8), (32, 8)]


@pytest.mark.parametrize(
    ("combine", "budget"),
    [
        *itertools.product(COMBINATIONS, [0.49, 0.45, 0.26, 0.1]),
        # Side by side, a half for every id and another for all together are all there can be.
        *itertools.product(("mul", "sum"), [0.9, 0.6]),
    ],
)
def test_a_budget_is_used_to_a_row_of_each_store(combine: Name, budget: float) -> None:
    left = budget * IDS * WIDTH * 4 - state_bytes(table(combine, budget=budget))
    assert 0 <= left <= max(2 * WIDTH * 4, 0.001 * budget * IDS * WIDTH * 4)


def test_a_budget_between_two_divisors_below_the_root_is_met_above_it() -> None:
    # Divisors 2 and 3 leave 502 and 337 rows; 399 remainders and 3 quotients leave 402.
    assert shapes(table(budget=0.4025)) == [(399, 8), (3, 8)]


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("collisions", [2, 7, 30])
def test_all_ids_start_with_different_rows(combine: Name, collisions: int) -> None:
    assert len(table(combine, collisions=collisions).rows().unique(dim=0)) == IDS


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("sizing", [{"collisions": 4}, {"budget": 0.3}], ids=str)
def test_rows_start_with_the_deviation_of_the_field(
    combine: Name, sizing: dict[str, float]
) -> None:
    rows = table(combine, **sizing, ids=4000).rows()  # type: ignore[arg-type]
    assert rows.std().item() == pytest.approx(0.1, rel=0.25)
    assert rows.mean().abs() < 0.05


@pytest.mark.parametrize("sizing", [{"collisions": 4}, {"budget": 0.3}], ids=str)
def test_where_stores_are_multiplied_the_larger_starts_small_and_the_other_near_1(
    sizing: dict[str, float],
) -> None:
    made = table(**sizing)  # type: ignore[arg-type]
    larger, other = (weight.trainable for weight in made.weights())
    assert len(larger) > len(other)
    assert larger.std().item() == pytest.approx(0.1, rel=0.1)
    assert other.mean().item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_assigned_rows_that_it_can_hold_come_back(combine: Name) -> None:
    source, made = table(combine, collisions=5), table(combine, collisions=5)
    with torch.no_grad():
        for weight in source.weights():
            weight.trainable.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    rows = source.rows().detach()
    made.assign(rows)
    assert torch.allclose(made.rows(), rows, atol=1e-3)


def test_rows_it_holds_already_stay_as_they_are() -> None:
    made = table("mul", budget=0.6)
    with torch.no_grad():  # of both signs, and near 0: the fit alone does not find them again
        for weight in made.weights():
            weight.trainable.normal_(generator=torch.Generator().manual_seed(1))
    rows = made.rows().detach().clone()
    made.assign(rows)
    assert torch.equal(made.rows(), rows)


def test_concatenated_halves_are_the_means_of_those_who_share_them() -> None:
    made = table("concat", collisions=5)
    rows = torch.randn(IDS, WIDTH, generator=torch.Generator().manual_seed(1))
    made.assign(rows)
    slots = made.transform(torch.arange(IDS))  # type: ignore[operator]
    shared = slots[0] == slots[0][0]
    weights = torch.arange(IDS).float()[shared] + 1
    mean = (weights[:, None] * rows[shared, :4]).sum(0) / weights.sum()
    assert torch.allclose(made.rows()[0, :4], mean, atol=1e-4)


def test_a_table_that_it_would_not_shrink_stays_full() -> None:
    assert isinstance(table(collisions=2, ids=4), PlainTable)  # 4 rows and 16 bytes for 4 rows


def test_rows_too_narrow_to_stand_side_by_side_are_added() -> None:
    divided, added = (table(c, collisions=4, width=1) for c in ("concat", "sum"))
    assert torch.equal(divided.rows(), added.rows())


def test_scoring_costs_the_stored_rows_unless_they_are_multiplied() -> None:
    assert [w.use.products for w in table("sum", collisions=4).weights()] == [1.0, 1.0]
    multiplied = table(collisions=4).weights()
    assert [w.use.products * w.rows for w in multiplied] == [IDS, IDS]
