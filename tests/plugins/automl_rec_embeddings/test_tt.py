from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Field, Infeasible, PlainTable, Table
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.combinations.tensor_train import TensorTrain, TrainShape, cores_of
from automl_rec_embeddings.id_transforms.mixed_radix import MixedRadix
from automl_rec_embeddings.row_stores.core_rows import CoreRows
from automl_rec_embeddings.tt import TT, bases, factors

SHAPE = TrainShape((3, 2, 4), (2, 3, 2), (2, 5))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cores(shape: TrainShape = SHAPE) -> list[Tensor]:
    drawn = generator()
    return [
        torch.randn(rows, width, generator=drawn, dtype=torch.float64)
        for rows, width in zip(shape.rows, shape.widths, strict=True)
    ]


def dense(shape: TrainShape, parts: list[Tensor]) -> Tensor:
    """The table by the definition, one id after the other."""
    (q1, q2, q3), (r1, r2) = shape.columns, shape.ranks
    rows = []
    for i, j, k in product(*(range(p) for p in shape.rows)):
        first, second, third = (
            parts[0][i].reshape(q1, r1),
            parts[1][j].reshape(r1, q2, r2),
            parts[2][k].reshape(r2, q3),
        )
        rows.append(torch.einsum("ar,rbs,sc->abc", first, second, third).reshape(-1))
    return torch.stack(rows)


def table(field: Field, embedding: TT, seed: int = 0) -> Table:
    embedding.adopt(embedding.plan({field.name: field}, planted_tiny().catalog))
    return embedding.table(field, generator(seed))


def by_rank(rank: int, field: Field, seed: int = 0) -> Table:
    return table(field, TT("fp32", "rank", rank=rank), seed)


def test_digits_name_every_id_once() -> None:
    digits = torch.stack(MixedRadix((3, 2, 4))(torch.arange(24)), dim=1)
    assert digits[13].tolist() == [1, 1, 1]  # 13 = 1 * 8 + 1 * 4 + 1
    assert len(digits.unique(dim=0)) == 24
    assert digits.amax(0).tolist() == [2, 1, 3]


@pytest.mark.parametrize("ids", [1, 2, 9, 60, 943, 1682, 10_000_000])
def test_bases_hold_all_ids_and_hardly_more(ids: int) -> None:
    first, second, third = bases(ids)
    assert ids <= first * second * third <= ids * (1 + 1 / first) * (1 + 1 / second) * 2
    assert max(bases(ids)) - min(bases(ids)) <= 2


def test_the_width_is_cut_into_equal_factors_with_the_smallest_in_the_middle() -> None:
    assert factors(64) == (4, 4, 4)
    assert factors(32) == (4, 2, 4)
    assert factors(12) == (2, 2, 3)
    assert factors(7) == (1, 1, 7)
    assert factors(1) == (1, 1, 1)


def test_a_row_is_the_product_of_the_matrices_that_its_digits_name() -> None:
    parts, train = cores(), TensorTrain(SHAPE)
    expected = dense(SHAPE, parts)
    slots = MixedRadix(SHAPE.rows)(torch.arange(24))
    joined = train.join([part[at] for part, at in zip(parts, slots, strict=True)])
    assert torch.allclose(joined, expected, atol=1e-12)
    assert torch.allclose(torch.cat(list(train.pieces(parts))), expected, atol=1e-12)


def test_largest_ranks_reproduce_any_table() -> None:
    for rows, columns in (((4, 5, 6), (2, 2, 4)), ((7, 1, 2), (3, 1, 1)), ((2, 3, 9), (1, 2, 2))):
        (p1, p2, p3), (q1, q2, q3) = rows, columns
        ranks = (min(p1 * q1, p2 * q2 * p3 * q3), min(p1 * q1 * p2 * q2, p3 * q3))
        shape = TrainShape(rows, columns, ranks)
        values = torch.randn(p1 * p2 * p3, q1 * q2 * q3, generator=generator(), dtype=torch.float64)
        back = dense(shape, list(cores_of(values, shape)))
        assert (back - values).abs().max() < 1e-10


def test_a_table_that_is_a_train_is_stored_exactly() -> None:
    expected = dense(SHAPE, cores())
    assert torch.allclose(dense(SHAPE, list(cores_of(expected, SHAPE))), expected, atol=1e-10)
    few = expected[:22]  # two combinations of digits are no id
    stored = dense(SHAPE, TensorTrain(SHAPE).fit(few, [], SHAPE.rows, torch.ones(22)))[:22]
    assert (stored - few).norm() < 1e-3 * few.norm()


def test_each_cut_loses_no_more_than_its_smallest_singular_values() -> None:
    shape = TrainShape((4, 4, 4), (2, 2, 2), (3, 4))
    values = torch.randn(64, 8, generator=generator(), dtype=torch.float64)
    error = (dense(shape, list(cores_of(values, shape))) - values).norm()
    ordered = values.reshape(4, 4, 4, 2, 2, 2).permute(0, 3, 1, 4, 2, 5)
    lost = [
        torch.linalg.svdvals(ordered.reshape(size, -1))[rank:].square().sum()
        for size, rank in ((8, 3), (64, 4))
    ]
    assert max(lost).sqrt() <= error <= sum(lost).sqrt() + 1e-9


def test_slopes_are_those_of_the_dense_table() -> None:
    field = Field("item", 60, 8)
    made = by_rank(2, field)
    ids = torch.tensor([3, 59, 3, 17])
    weights = torch.randn(4, 8, generator=generator(1))
    (made.lookup(ids) * weights).sum().backward()
    found = [part.grad for part in made.parameters()]
    copies = [part.detach().double().requires_grad_() for part in made.parameters()]
    shape = TrainShape(bases(60), factors(8), (2, 2))
    (dense(shape, copies)[ids] * weights).sum().backward()
    for slope, copy in zip(found, copies, strict=True):
        assert slope is not None
        assert copy.grad is not None
        assert torch.allclose(slope.double(), copy.grad, atol=1e-5)


def test_ids_that_are_read_together_have_the_rows_they_have_alone() -> None:
    made = by_rank(2, Field("item", 400, 8))
    shape = TrainShape(bases(400), factors(8), (2, 2))
    expected = dense(shape, [part.detach().double() for part in made.parameters()])
    drawn = torch.randint(400, (50,), generator=generator())
    for ids in (drawn, drawn[:3]):
        assert torch.allclose(made.lookup(ids).double(), expected[ids], atol=1e-6)


def test_bytes_are_those_of_the_cores() -> None:
    made = by_rank(4, Field("item", 1000, 16))
    assert [(w.rows, w.columns) for w in made.weights()] == [(10, 8), (10, 32), (10, 16)]
    assert sum(t.nbytes for t in made.state_dict().values()) == 10 * (8 + 32 + 16) * 4


def test_scoring_costs_the_rows_that_are_kept_and_looking_up_the_products() -> None:
    made = by_rank(4, Field("item", 1000, 16, lookups=3.0, scored=True))
    assert made.operations() == 3 * (2 * 4 * 2 * 4 + 2 * 2 * 4 * 4) + 1000 * 16
    assert sum(weight.use.products for weight in made.weights()) == 0


@pytest.mark.parametrize("budget", [0.02, 0.1, 0.25])
def test_a_budget_is_used_but_for_the_step_to_the_next_rank(budget: float) -> None:
    fields = {name: Field(name, size, 16) for name, size in (("a", 20_000), ("b", 9000))}
    embedding = TT("fp32", "budget", budget)
    plan = embedding.plan(fields, planted_tiny().catalog)
    used = sum(embedding.structure_bytes(fields[n], plan[n]) for n in fields)
    assert 0.9 * budget < used / (29_000 * 16 * 4) <= budget


def test_budgets_out_of_reach_are_refused() -> None:
    field = Field("item", 1_000_000, 16)
    for budget, remedy in ((0.25, "Lower"), (1e-6, "Raise")):
        with pytest.raises(Infeasible, match=remedy):
            TT("fp32", "budget", budget).plan({"item": field}, planted_tiny().catalog)


def test_a_table_that_a_train_would_not_shrink_stays_full() -> None:
    assert isinstance(by_rank(64, Field("item", 60, 8)), PlainTable)


@pytest.mark.parametrize("rank", [2, 16])
def test_rows_start_with_the_deviation_of_the_field(rank: int) -> None:
    spreads = [
        by_rank(rank, Field("item", 4000, 16, std=0.05), seed).rows().std().item()
        for seed in range(5)
    ]
    assert np.mean(spreads) == pytest.approx(0.05, rel=0.15)


def test_values_of_cores_start_away_from_zero() -> None:
    store = CoreRows("item.core-1", 500, 40, by_rank(2, Field("item", 60, 8)).weights()[0].use)
    store.initialise(0.0, 0.2, generator())
    values = store.weight.trainable.detach()
    assert values.std().item() == pytest.approx(0.2, rel=0.02)
    assert abs(values.mean().item()) < 0.01
    # The normal's deviation grows from 1 to 1.35 where its middle is cut out up to 0.5.
    assert values.abs().min() >= 0.5 * 0.2 / 1.36
    assert values.isfinite().all()
