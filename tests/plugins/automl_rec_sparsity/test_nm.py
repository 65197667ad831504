from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import (
    DenseMatrix,
    LowRankMatrix,
    Pattern,
    PatternMatrix,
    Product,
    Step,
    Use,
    Weight,
    dense_form,
)
from automl_rec_sparsity.groups import largest_of_groups
from automl_rec_sparsity.nm import GroupPattern

Train = Callable[..., Any]
PATTERNS = ["2:4", "1:4", "2:8", "1:8", "1:16"]


def values(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("columns", [16, 30, 3])
def test_every_group_along_the_inputs_has_exactly_its_number(pattern: str, columns: int) -> None:
    kept, of = map(int, pattern.split(":"))
    weight, whole = Weight("w", 12, columns, "linear", Use(1)), values(12, columns)
    with torch.no_grad():
        weight.trainable.copy_(whole)
    scheme = GroupPattern(pattern, "one-shot")
    priced = scheme.price({"w": weight.price()})["w"]
    weight.freeze()
    scheme.compress({"w": weight})
    served = weight.matrix.dense()
    assert torch.equal(served[served != 0], whole[served != 0])
    for group in served.split(of, dim=1):
        assert (group.ne(0).sum(1) == min(kept, group.shape[1])).all()
    assert weight.matrix.form().bytes == priced.bytes
    assert priced.bytes.low == sum(t.nbytes for t in weight.matrix.state_dict().values())
    assert isinstance(weight.matrix, PatternMatrix) or columns == 3, "few places fit in a bitmap"


def test_groups_of_factors_never_run_along_the_rank() -> None:
    left, right = values(12, 4), values(8, 4)
    weight = Weight("w", 12, 8, "linear", Use(1))
    weight.matrix = LowRankMatrix(DenseMatrix(left), DenseMatrix(right))
    scheme = GroupPattern("1:4", "one-shot")
    priced = scheme.price({"w": Product(dense_form(12, 4), dense_form(8, 4))})["w"]
    scheme.compress({"w": weight})
    assert weight.matrix.form() == priced
    assert isinstance(weight.matrix, LowRankMatrix)
    for factor in (weight.matrix.left, weight.matrix.right):
        for group in factor.dense().split(4, dim=0):
            assert (group.ne(0).sum(0) == 1).all()


def scheme(**changes: Any) -> GroupPattern:
    settings: dict[str, Any] = {"pattern": "2:4", "mode": "decay", "every": 1} | changes
    return GroupPattern(settings.pop("pattern"), settings.pop("mode"), **settings)


@pytest.mark.parametrize("decay", ["linear", "exponential", "structural"])
@pytest.mark.parametrize("slopes", ["product", "straight"])
def test_masks_go_from_dense_to_the_pattern_and_stay(
    decay: str, slopes: str, train_with: Train
) -> None:
    seen = dict[int, Tensor]()
    totals = list[int]()

    def look(model: Any, step: Step) -> None:
        seen[step.number] = model.masks[0].clone()
        totals.append(step.total)

    model = train_with(scheme(decay=decay, slopes=slopes, pattern="1:4"), look)
    total = totals[-1]
    first, last = round(0.15 * total), round(0.75 * total)
    assert all(bool((seen[step] == 1).all()) for step in range(1, first + 1))
    for step in range(last, total + 1):
        hard = seen[step]
        assert set(hard.unique().tolist()) == {0.0, 1.0}
        assert all((group.sum(1) == 1).all() for group in hard.split(4, dim=1))
        assert slopes == "straight" or torch.equal(hard, seen[last])
    masses = [float(seen[step].sum()) for step in range(1, total + 1)]
    assert masses == sorted(masses, reverse=True)
    assert len(set(masses)) == (4 if decay == "structural" else last - first + 1)
    outside = model.matrices[0].effective()[seen[total] == 0]
    assert not outside.any()


def test_what_is_outside_learns_through_a_straight_mask_alone(train_with: Train) -> None:
    def moved(slopes: str) -> bool:
        before = list[Tensor]()

        def look(model: Any, step: Step) -> None:
            if step.number in (step.total - 1, step.total):
                before.append(model.matrices[0].weight.clone())

        model = train_with(scheme(slopes=slopes), look)
        outside = ~largest_of_groups(model.matrices[0].effective(), Pattern(2, 4))
        return bool((before[0] != before[1])[outside].any())

    assert moved("straight")
    assert not moved("product")


def test_the_pull_draws_what_is_outside_to_0(train_with: Train) -> None:
    sizes = dict[float, float]()
    for pull in (0.0, 0.01):
        model = train_with(scheme(slopes="straight", pull=pull), lambda model, step: None)
        outside = model.matrices[0].weight[model.masks[0] == 0]
        sizes[pull] = float(outside.detach().abs().mean())
    assert sizes[0.01] < 0.9 * sizes[0.0]
