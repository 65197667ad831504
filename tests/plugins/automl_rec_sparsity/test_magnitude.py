from dataclasses import replace
from functools import partial

import pytest
import scipy.sparse as sp
import torch

from automl_rec.plugin import (
    DenseMatrix,
    Either,
    Form,
    Interval,
    Leaf,
    LowRankMatrix,
    Precision,
    Product,
    Step,
    TrainableMatrix,
    Use,
    Weight,
    dense_form,
    tiles_of,
)
from automl_rec_sparsity.kept_share import Scope
from automl_rec_sparsity.magnitude import Magnitude
from automl_rec_sparsity.selection import shape_densities

SHAPES = {"a": (40, 30), "b": (8, 5), "c": (20, 200)}


def weights(*, stored: bool = True) -> dict[str, Weight]:
    generator = torch.Generator().manual_seed(0)
    made = {}
    for scale, (name, (rows, columns)) in enumerate(SHAPES.items(), 1):
        weight = Weight(name, rows, columns, "linear", Use(1.0))
        weight.initialise(float(scale), generator)
        if stored:
            weight.freeze()
        made[name] = weight
    return made


def forms(made: dict[str, Weight]) -> dict[str, Form]:
    return {name: weight.matrix.form() for name, weight in made.items()}


def kept(weight: Weight) -> int:
    return int((weight.matrix.dense() != 0).sum())


def one_shot(density: float, scope: Scope = "uniform", *, spare_rows: bool = False) -> Magnitude:
    return Magnitude(density, "one-shot", scope, spare_rows=spare_rows)


@pytest.mark.parametrize("density", [0.001, 0.01, 0.03, 0.1, 0.5, 0.99, 1.0])
def test_every_matrix_keeps_exactly_its_share_and_costs_its_price(density: float) -> None:
    made = weights()
    priced = one_shot(density).price({name: w.price() for name, w in made.items()})
    one_shot(density).compress(made)
    for name, (rows, columns) in SHAPES.items():
        assert kept(made[name]) == round(density * rows * columns)
    assert [f.bytes for f in forms(made).values()] == [f.bytes for f in priced.values()]
    for name, form in forms(made).items():
        assert form.bytes.low == sum(t.nbytes for t in made[name].matrix.state_dict().values())


def test_density_one_leaves_every_bit() -> None:
    made, plain = weights(), weights()
    one_shot(1.0).compress(made)
    assert all(torch.equal(made[n].matrix.dense(), plain[n].matrix.dense()) for n in SHAPES)
    assert all(isinstance(weight.matrix, DenseMatrix) for weight in made.values())


def test_what_stays_is_larger_than_what_goes() -> None:
    made, plain = weights(), weights()
    one_shot(0.2).compress(made)
    for name in SHAPES:
        size, stays = plain[name].matrix.dense().abs(), made[name].matrix.dense() != 0
        assert size[stays].min() >= size[~stays].max()


@pytest.mark.parametrize("density", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("spare_rows", [False, True])
def test_the_global_share_is_exact_in_total_and_within_its_price(
    density: float, *, spare_rows: bool
) -> None:
    made = weights()
    sparsity = one_shot(density, "global", spare_rows=spare_rows)
    priced = sparsity.price({name: weight.price() for name, weight in made.items()})
    sparsity.compress(made)
    total = sum(rows * columns for rows, columns in SHAPES.values())
    rows = sum(rows for rows, _ in SHAPES.values())
    expected = max(round(density * total), rows if spare_rows else 0)
    assert sum(kept(weight) for weight in made.values()) == expected
    for name, form in forms(made).items():
        bounds = priced[name].bytes
        assert bounds.low <= form.bytes.low <= bounds.high
        if spare_rows:
            assert (made[name].matrix.dense() != 0).any(1).all()


@pytest.mark.parametrize("density", [0.01, 0.1, 0.7])
def test_shares_by_shape_are_exact_and_cost_their_price(density: float) -> None:
    made = weights()
    priced = one_shot(density, "erk").price({name: w.price() for name, w in made.items()})
    one_shot(density, "erk").compress(made)
    shares = shape_densities(list(SHAPES.values()), density)
    for (name, (rows, columns)), share in zip(SHAPES.items(), shares, strict=True):
        assert kept(made[name]) == round(share * rows * columns)
        assert made[name].matrix.form().bytes == priced[name].bytes


def test_shares_by_shape_are_open_where_values_decide_a_rank() -> None:
    leaf = dense_form(40, 30)
    priced = one_shot(0.1, "erk").price({"a": Either(leaf, Product(leaf, leaf)), "b": leaf})
    assert priced["b"].leaves()[0].entries == Interval(0, 1200)


def test_the_global_price_of_one_matrix_is_exact() -> None:
    priced = one_shot(0.1, "global").price({"a": dense_form(40, 30)})
    assert priced == one_shot(0.1).price({"a": dense_form(40, 30)})


def test_a_global_threshold_can_empty_a_matrix() -> None:
    made = weights()
    one_shot(0.01, "global").compress(made)
    assert kept(made["b"]) == 0
    assert not made["b"].matrix.multiply(torch.ones(5)).any()


def test_factors_are_pruned_each_and_stay_factors() -> None:
    weight = Weight("w", 30, 20, "linear", Use(1.0))
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(30, 4, generator=generator), torch.randn(20, 4, generator=generator)
    weight.matrix = LowRankMatrix(DenseMatrix(left), DenseMatrix(right))
    one_shot(0.25).compress({"w": weight})
    matrix = weight.matrix
    assert isinstance(matrix, LowRankMatrix)
    assert [int((f.dense() != 0).sum()) for f in (matrix.left, matrix.right)] == [30, 20]


def limited(entries: int) -> Weight:
    weight = Weight("near", 50, 50, "item-item", Use(rows=3.0), limit=200)
    generator = torch.Generator().manual_seed(0)
    places = torch.randperm(2500, generator=generator)[:entries]
    values = torch.randn(entries, generator=generator).numpy()
    weight.assign(sp.csr_matrix((values, (places // 50, places % 50)), (50, 50)))
    return weight


@pytest.mark.parametrize("scope", ["uniform", "global"])
@pytest.mark.parametrize(("entries", "density", "stay"), [(150, 0.04, 100), (150, 0.5, 150)])
def test_a_sparse_weight_keeps_the_largest_of_what_is_there(
    scope: Scope, entries: int, density: float, stay: int
) -> None:
    weight = limited(entries)
    plain = weight.matrix.dense()
    bounds = one_shot(density, scope).price({"near": weight.price()})["near"].bytes
    one_shot(density, scope).compress({"near": weight})
    dense = weight.matrix.dense()
    assert int((dense != 0).sum()) == stay
    assert torch.equal(dense[dense != 0], plain[dense != 0])
    assert plain[dense != 0].abs().min() >= plain[dense == 0].abs().max() or stay == entries
    assert bounds.low <= weight.matrix.form().bytes.low <= bounds.high


def gradual(density: float, scope: Scope = "uniform") -> Magnitude:
    return Magnitude(density, "gradual", scope, start=0.1, end=0.8, every=3)


def step_of(number: int, total: int) -> Step:
    return Step(number, total, 0.01, lambda: torch.zeros(()))


def mask_of(weight: Weight) -> torch.Tensor:
    assert isinstance(weight.matrix, TrainableMatrix)
    assert weight.matrix.mask is not None
    return weight.matrix.mask


@pytest.mark.parametrize("scope", ["uniform", "erk", "global"])
def test_masks_only_shrink_and_end_at_the_density(scope: Scope) -> None:
    made, sparsity = weights(stored=False), gradual(0.1, scope)
    sparsity.join(made)
    generator = torch.Generator().manual_seed(1)
    left = [sum(int(mask_of(w).sum()) for w in made.values())]
    for step in range(1, 51):
        with torch.no_grad():  # training moves what the masks leave
            for weight in made.values():
                noise = torch.randn(weight.rows, weight.columns, generator=generator)
                weight.trainable.add_(0.1 * noise)
        sparsity.after_step(step_of(step, 50))
        left.append(sum(int(mask_of(w).sum()) for w in made.values()))
    assert left == sorted(left, reverse=True)
    assert left[0] == sum(rows * columns for rows, columns in SHAPES.values())
    sizes = [rows * columns for rows, columns in SHAPES.values()]
    by_shape = zip(shape_densities(list(SHAPES.values()), 0.1), sizes, strict=True)
    expected = {
        "uniform": sum(round(0.1 * size) for size in sizes),
        "erk": sum(round(share * size) for share, size in by_shape),
        "global": round(0.1 * sum(sizes)),
    }
    assert left[40] == left[-1] == expected[scope]
    assert len(set(left)) > 8, "gradually"


def test_a_masked_entry_returns_when_the_others_fall_behind() -> None:
    weight = Weight("w", 1, 4, "linear", Use(1.0))
    with torch.no_grad():
        weight.trainable.copy_(torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
    sparsity = Magnitude(0.5, "gradual", "uniform", start=0.0, end=1.0, every=1)
    sparsity.join({"w": weight})
    for step in range(1, 10):
        sparsity.after_step(step_of(step, 10))
    assert mask_of(weight).tolist() == [[1.0, 1.0, 0.0, 0.0]]
    with torch.no_grad():
        weight.trainable[0, 0] = 0.1
    sparsity.after_step(step_of(10, 10))
    assert mask_of(weight).tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_masks_stay_once_the_schedule_has_ended() -> None:
    made, sparsity = weights(stored=False), gradual(0.1)
    sparsity.join(made)
    for step in range(1, 41):
        sparsity.after_step(step_of(step, 50))
    before = mask_of(made["a"]).clone()
    with torch.no_grad():
        made["a"].trainable.neg_().add_(5.0)
    for step in range(41, 51):
        sparsity.after_step(step_of(step, 50))
    assert torch.equal(mask_of(made["a"]), before)


def test_density_one_masks_nothing() -> None:
    made, sparsity = weights(stored=False), gradual(1.0)
    sparsity.join(made)
    for step in range(1, 51):
        sparsity.after_step(step_of(step, 50))
    assert all(bool((mask_of(weight) == 1).all()) for weight in made.values())


def test_a_training_that_ended_early_is_pruned_to_the_full() -> None:
    made, sparsity = weights(stored=False), gradual(0.1)
    sparsity.join(made)
    for step in range(1, 21):
        sparsity.after_step(step_of(step, 50))
    assert mask_of(made["a"]).sum() > 0.1 * 1200
    for weight in made.values():
        weight.freeze()
    sparsity.compress(made)
    assert [kept(w) for w in made.values()] == [120, 4, 400]


def test_only_gradual_pruning_acts_in_training() -> None:
    assert gradual(0.1).acts_in_training
    assert not one_shot(0.1).acts_in_training


@pytest.mark.parametrize("block", [4, 16])
@pytest.mark.parametrize("density", [0.1, 0.6])
def test_squares_stay_or_go_as_one(density: float, block: int) -> None:
    made, plain = weights(), weights()
    scheme = Magnitude(density, "one-shot", "uniform", block=block)
    priced = scheme.price({name: w.price() for name, w in made.items()})
    scheme.compress(made)
    for name in SHAPES:
        values, dense = plain[name].matrix.dense(), made[name].matrix.dense()
        squares = tiles_of(values, block).norm(dim=1)
        stay = tiles_of(dense, block).any(1)
        assert int(stay.sum()) == round(density * len(squares))
        assert torch.equal(tiles_of(dense, block)[stay], tiles_of(values, block)[stay])
        assert made[name].matrix.form() == priced[name]
        assert not stay.all() or torch.equal(dense, values)
        if stay.any() and not stay.all():
            assert squares[stay].min() >= squares[~stay].max()


def test_squares_are_masked_as_one_in_training() -> None:
    made = weights(stored=False)
    scheme = Magnitude(0.25, "gradual", "uniform", 0.1, 0.8, 3, block=4)
    scheme.join(made)
    for step in range(1, 51):
        scheme.after_step(step_of(step, 50))
    whole = tiles_of(mask_of(made["c"]), 4).sum(1)
    assert set(whole.tolist()) == {0.0, 16.0}
    assert int((whole == 16).sum()) == round(0.25 * len(whole))


def _coded(leaf: Leaf, precision: Precision) -> Leaf:
    return replace(leaf, precision=precision)


def test_squares_of_factors_are_priced_between_the_least_and_the_largest_rank() -> None:
    def factor(rank: Interval) -> Leaf:
        return Leaf(Interval(60, 60), rank, rank.times(60))

    scheme = Magnitude(0.4, "one-shot", "uniform", block=4)
    (bounds,) = scheme.price({"a": factor(Interval(1, 9))}).values()
    precisions: tuple[Precision, ...] = ("fp32", "int8", "int4")
    for precision in precisions:
        coded = partial(_coded, precision=precision)
        low, high = bounds.map_leaves(coded).bytes
        for rank in range(1, 10):
            (exact,) = scheme.price({"a": factor(Interval(rank, rank))}).values()
            assert low <= exact.map_leaves(coded).bytes.low <= high


def test_where_time_ends_a_training_first_the_schedule_goes_by_time() -> None:
    made, sparsity = weights(stored=False), gradual(0.1)
    sparsity.join(made)
    left = []
    for number in range(1, 31):
        passed = number / 30
        step = Step(number, 10_000, 0.01, lambda: torch.zeros(()), time_passed=passed)
        sparsity.after_step(step)
        left.append(sum(int(mask_of(w).sum()) for w in made.values()))
    assert left[0] == sum(rows * columns for rows, columns in SHAPES.values())
    assert left[23] == left[-1] == 120 + 4 + 400, "from 0.8 of the time on"
    assert len(set(left)) > 5
