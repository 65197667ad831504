from collections.abc import Mapping

import numpy as np
import pytest
import torch

from automl_rec.plugin import Embedding, Field, Infeasible, PlainTable, Precision
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.fixed_dim import FixedDim
from automl_rec_embeddings.hash import Hash
from automl_rec_embeddings.mixed_dim import MixedDim
from automl_rec_embeddings.qr import QR
from automl_rec_embeddings.sizing import full_bytes, large, most

CATALOG = planted_tiny().catalog
WIDTH = 16
SIZES = (3, 20, 200, 957, 4082, 9000)


def fields(*sizes: int, width: int = WIDTH) -> dict[str, Field]:
    """Tables of ids that are met the less often the larger their number is."""
    return {
        f"f{j}": Field(f"f{j}", size, width, counts=10_000 // np.arange(1, size + 1))
        for j, size in enumerate(sizes)
    }


def hashed(budget: float, precision: Precision = "fp32", hot_share: float = 0.5) -> Hash:
    return Hash(1, hot_share, precision, "budget", budget=budget)


def fixed(budget: float) -> FixedDim:
    return FixedDim("fp32", "budget", budget=budget)


def quotients(budget: float) -> QR:
    return QR("mul", "fp32", "budget", budget=budget)


def mixed(budget: float) -> MixedDim:
    return MixedDim(
        "block", powers_of_two=False, precision="fp32", sized_by="budget", blocks=8, budget=budget
    )


def shares(embedding: Embedding, asked: Mapping[str, Field]) -> dict[str, float]:
    """What part of its full float32 bytes each table is served in."""
    embedding.adopt(embedding.plan(asked, CATALOG))
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, field in asked.items():
        table = embedding.table(field, generator)
        for weight in table.weights():
            weight.freeze()
        embedding.encode(table)
        found[name] = sum(t.nbytes for t in table.state_dict().values()) / full_bytes(field)
    return found


def served(embedding: Embedding, asked: Mapping[str, Field]) -> float:
    """What part of all full tables' bytes is served."""
    whole = sum(map(full_bytes, asked.values()))
    own = shares(embedding, asked)
    return sum(own[name] * full_bytes(field) for name, field in asked.items()) / whole


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("budget", [0.2, 0.1, 0.05, 0.03])
def test_hashed_tables_take_what_the_budget_gives(budget: float, precision: Precision) -> None:
    found = served(hashed(budget, precision), fields(*SIZES))
    assert 0.98 * budget <= found <= budget


@pytest.mark.parametrize("budget", [0.9, 0.5, 0.25, 0.1, 0.05])
def test_quotients_and_remainders_take_what_the_budget_gives(budget: float) -> None:
    assert 0.98 * budget <= served(quotients(budget), fields(*SIZES)) <= budget


@pytest.mark.parametrize("budget", [0.9, 0.5, 0.25, 0.15])
def test_mixed_widths_take_what_the_budget_gives_but_for_a_column(budget: float) -> None:
    asked = fields(*SIZES, width=128)
    assert 0.98 * budget <= served(mixed(budget), asked) <= budget


@pytest.mark.parametrize("budget", [0.5, 0.25, 0.1])
def test_equal_widths_leave_less_than_a_column_of_the_smallest_table(budget: float) -> None:
    asked = fields(*SIZES)
    whole = sum(map(full_bytes, asked.values()))
    left = (budget - served(fixed(budget), asked)) * whole
    assert 0 <= left < 4 * (200 + WIDTH)


def test_tables_that_hold_next_to_nothing_stay_full() -> None:
    asked = fields(*SIZES)
    assert set(large(asked)) == {"f2", "f3", "f4", "f5"}  # 23 rows of 14,262 are under 1 %
    plan = hashed(0.1).plan(asked, CATALOG)
    assert set(plan) == {"f2", "f3", "f4", "f5"}


def test_many_tables_of_one_size_are_all_worth_an_effort() -> None:
    asked = fields(*[100] * 150)
    assert len(large(asked)) == 150
    assert 0.98 * 0.25 <= served(hashed(0.25), asked) <= 0.25


def test_every_table_has_the_same_share_of_its_own_bytes() -> None:
    found = shares(hashed(0.25, hot_share=0.0), fields(*SIZES))
    assert found["f3"] == pytest.approx(0.25, abs=0.003)
    assert found["f5"] == pytest.approx(0.25, abs=0.003)
    assert found["f0"] == found["f1"] == 1.0


def test_a_table_that_cannot_be_narrower_stays_full_and_the_others_pay_for_it() -> None:
    wide, narrow = fields(4000)["f0"], Field("first", 4000, 1)
    found = shares(fixed(0.5), {"f0": wide, "first": narrow})
    assert found["first"] == 1.0
    assert found["f0"] == pytest.approx(7 / 16, abs=0.01)  # 8.5 of 17 columns, one in `first`


def test_a_table_that_cannot_be_so_small_is_as_small_as_can_be() -> None:
    asked = fields(40, 40_000)
    found = shares(quotients(0.02), asked)
    assert found["f1"] == pytest.approx(0.02, rel=0.06)
    few = fields(1000, 40_000)
    found = shares(quotients(0.025), few)
    assert found["f0"] == pytest.approx(64 / 1000, rel=0.01)  # 32 quotients, 32 remainders
    assert found["f1"] < 0.025


# Of 14,262 rows, 23 stay full. Quotients and remainders: 29 + 62 + 128 + 190 rows and 16 bytes a
# table; one column: 14,239 numbers and four projections of 16.
@pytest.mark.parametrize(
    ("embedding", "least"), [(quotients(0.01), "0.0304"), (fixed(0.05), "0.0643")]
)
def test_a_budget_below_what_is_needed_is_refused_with_the_least(
    embedding: Embedding, least: str
) -> None:
    with pytest.raises(Infeasible, match=f"less than the {least} that this embedding needs"):
        embedding.plan(fields(*SIZES), CATALOG)


def test_the_least_that_is_named_is_granted() -> None:
    assert served(quotients(0.0304), fields(*SIZES)) <= 0.0304


def test_a_budget_far_above_what_can_be_used_is_refused() -> None:
    with pytest.raises(Infeasible, match=r"of 0.9 .* more than twice the 0.312 .* can use"):
        hashed(0.9, "int8").plan(fields(*SIZES), CATALOG)


def test_a_budget_of_everything_leaves_all_tables_full() -> None:
    for embedding in (hashed(1.0), fixed(1.0), quotients(1.0), mixed(1.0)):
        assert embedding.plan(fields(*SIZES), CATALOG) == {}
        assert isinstance(
            embedding.table(fields(*SIZES)["f5"], torch.Generator().manual_seed(0)), PlainTable
        )


def test_one_plan_does_not_depend_on_the_one_before() -> None:
    embedding = quotients(0.05)
    embedding.plan(fields(200, 4082), CATALOG)
    again = embedding.plan(fields(957, 4082), CATALOG)
    assert again == quotients(0.05).plan(fields(957, 4082), CATALOG)


def test_bytes_are_asked_for_a_few_times_only() -> None:
    asked = []

    class Counted(Hash):
        def at(self, fields: Mapping[str, Field], share: float) -> dict[str, dict[str, int]]:
            asked.append(share)
            return super().at(fields, share)

    for budget in (0.5, 0.1, 0.02):
        asked.clear()
        Counted(1, 0.5, "fp32", "budget", budget=budget).plan(fields(*SIZES), CATALOG)
        assert len(asked) <= 20


def test_the_most_that_keeps_a_limit() -> None:
    assert most(lambda n: 10 * n, 35, 100) == 3
    assert most(lambda n: 10 * n, 30, 100) == 3
    assert most(lambda n: 10 * n, 5000, 100) == 100
    assert most(lambda n: 10 * n, 9, 100) is None
