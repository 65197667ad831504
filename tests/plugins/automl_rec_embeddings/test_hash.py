from typing import Literal

import numpy as np
import pytest
import torch

from automl_rec.plugin import Field, PlainTable, Table
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.hash import Hash

IDS, WIDTH = 400, 8
COUNTS = np.arange(IDS)[::-1].copy()


def table(
    ratio: float = 0.1,
    hashes: int = 1,
    hot_share: float = 0.5,
    combine: Literal["sum", "concat", "mul"] = "sum",
    *,
    width: int = WIDTH,
) -> Table:
    embedding = Hash(hashes, hot_share, "fp32", "ratio", combine, ratio=ratio)
    field = Field("item", IDS, width, counts=COUNTS, scored=True)
    embedding.adopt(embedding.plan({"item": field}, planted_tiny().catalog))
    return embedding.table(field, torch.Generator().manual_seed(0))


def shapes(made: Table) -> list[tuple[int, int]]:
    return [(weight.rows, weight.columns) for weight in made.weights()]


def state_bytes(made: Table) -> int:
    return sum(tensor.nbytes for tensor in made.state_dict().values())


def test_rows_are_a_share_of_the_ids_and_everything_stored_is_counted() -> None:
    made = table()
    assert shapes(made) == [(40, 8)]
    assert state_bytes(made) == 40 * 8 * 4 + 400 + 16  # rows, remap in one byte, coefficients


def test_without_hot_rows_no_remap_is_stored() -> None:
    assert state_bytes(table(hot_share=0.0)) == 40 * 8 * 4 + 16


def test_two_hashes_have_separate_stores() -> None:
    assert shapes(table(hashes=2)) == [(40, 8), (20, 8)]
    assert shapes(table(hashes=2, combine="mul")) == [(40, 8), (20, 8)]
    assert shapes(table(hashes=2, combine="concat")) == [(40, 4), (40, 4)]
    assert state_bytes(table(hashes=2, hot_share=0.0)) == 2 * 40 * 8 * 4 + 32


@pytest.mark.parametrize("combine", ["sum", "concat", "mul"])
def test_hot_ids_share_their_row_with_nobody(combine: Literal["sum", "concat", "mul"]) -> None:
    made = table(hashes=2, combine=combine)
    rows = made.rows()
    hot, rest = rows[:20], rows[20:]
    assert len(hot.unique(dim=0)) == 20
    distances = torch.cdist(
        hot.detach(), rest.detach(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    assert distances.min() > 0


def test_hot_rows_are_assigned_exactly() -> None:
    rows = torch.randn(IDS, WIDTH, generator=torch.Generator().manual_seed(1))
    for made in (table(), table(hashes=2, combine="concat"), table(hashes=2)):
        made.assign(rows)
        assert torch.allclose(made.rows()[:20], rows[:20], atol=1e-5)


def test_frequent_ids_weigh_more_where_a_row_is_shared() -> None:
    made = table(ratio=0.0025, hot_share=0.0)  # one row for all
    rows = torch.randn(IDS, WIDTH, generator=torch.Generator().manual_seed(1))
    made.assign(rows)
    weights = torch.from_numpy(COUNTS + 1).float()
    mean = (weights[:, None] * rows).sum(0) / weights.sum()
    assert torch.allclose(made.rows()[5], mean, atol=1e-5)


def test_a_table_that_hashing_would_not_shrink_stays_full() -> None:
    assert isinstance(table(ratio=1.0), PlainTable)
    assert isinstance(table(ratio=0.6, hashes=2, hot_share=0.0), PlainTable)
    assert isinstance(table(ratio=0.9, hot_share=0.0), ComposedTable)


def test_rows_start_with_the_deviation_of_the_field() -> None:
    for hashes in (1, 2):
        made = table(ratio=0.45, hashes=hashes, hot_share=0.0)
        assert made.rows().std().item() == pytest.approx(0.1, rel=0.15)


def test_scoring_costs_the_stored_rows_unless_they_are_multiplied() -> None:
    assert [weight.use.products for weight in table(hashes=2).weights()] == [1.0, 1.0]
    multiplied = table(hashes=2, combine="mul").weights()
    products = [weight.use.products * weight.rows for weight in multiplied]
    assert products == [IDS, IDS]


def test_rows_too_narrow_to_stand_side_by_side_are_added() -> None:
    divided, added = (table(hashes=2, combine=combine, width=1) for combine in ("concat", "sum"))
    assert torch.equal(divided.rows(), added.rows())


@pytest.mark.parametrize(
    ("budget", "slots", "hot"),
    [
        (0.02, 7, 0),  # 256 bytes: not even the remap, 400, fits
        (0.04, 15, 0),  # 512 bytes: beside the remap 3 rows of 32 would fit
        (0.1, 27, 14),  # 1,280 bytes: 27 rows with the remap, 39 without
    ],
)
def test_a_budget_pays_for_own_rows_only_beside_rows_enough(
    budget: float, slots: int, hot: int
) -> None:
    embedding = Hash(1, 0.5, "fp32", "budget", budget=budget)
    field = Field("item", IDS, WIDTH, counts=COUNTS, scored=True)
    plan = embedding.plan({"item": field}, planted_tiny().catalog)
    assert plan == {"item": {"slots": slots, "hot": hot}}
