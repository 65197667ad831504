from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Step
from automl_rec_sparsity.dst import DynamicSparse, Grow
from automl_rec_sparsity.kept_share import Scope
from automl_rec_sparsity.none import NoSparsity
from automl_rec_sparsity.selection import shape_densities

Train = Callable[..., Any]
SHAPES = [(8, 30), (4, 8)]
TOTAL = 240 + 32


def scheme(grow: Grow = "gradient", scope: Scope = "global", **changes: Any) -> DynamicSparse:
    settings = {"density": 0.1, "moving": 0.3, "every": 0.25} | changes
    return DynamicSparse(settings.pop("density"), scope, grow, **settings)


def counts_of(scope: Scope) -> list[int]:
    shares = shape_densities(SHAPES, 0.1) if scope == "erk" else [0.1, 0.1]
    return [round(share * m * n) for share, (m, n) in zip(shares, SHAPES, strict=True)]


@pytest.mark.parametrize("scope", ["uniform", "erk", "global"])
@pytest.mark.parametrize("grow", ["gradient", "accumulated", "random"])
def test_the_budget_is_kept_at_every_step_and_what_is_outside_is_0(
    grow: Grow, scope: Scope, train_with: Train
) -> None:
    before: list[Tensor] = []
    moved = set[int]()

    def look(model: Any, step: Step) -> None:
        inside = [int(mask.sum()) for mask in model.masks]
        assert sum(inside) == (round(0.1 * TOTAL) if scope == "global" else sum(counts_of(scope)))
        assert scope == "global" or inside == counts_of(scope)
        for matrix, mask in zip(model.matrices, model.masks, strict=True):
            assert not matrix.weight[mask == 0].any()
        if before and any((old != new).any() for old, new in zip(before, model.masks, strict=True)):
            moved.add(step.number)
            for matrix, old, new in zip(model.matrices, before, model.masks, strict=True):
                assert not matrix.weight[(new > old)].any(), "what has grown starts at 0"
        before[:] = [mask.clone() for mask in model.masks]
        look.step = step  # type: ignore[attr-defined]

    train_with(scheme(grow, scope), look)
    last = look.step  # type: ignore[attr-defined]
    interval = max(round(0.25 * last.per_epoch), 1)
    assert len(moved) > 5
    assert all(step % interval == 0 for step in moved)
    assert max(moved) < 0.75 * last.total, "nothing moves at the end"


def test_entries_move_between_weights_under_the_global_scope_alone(train_with: Train) -> None:
    def found(scope: Scope) -> set[int]:
        seen = set[int]()
        train_with(scheme(scope=scope), lambda model, _: seen.add(int(model.masks[0].sum())))
        return seen

    assert len(found("global")) > 1
    assert found("uniform") == {24}


def overlap(model: Any) -> float:
    inside, wanted = model.masks[0] > 0, model.truth != 0
    return float((inside & wanted).sum() / wanted.sum())


def test_slopes_find_the_planted_entries_and_chance_does_less(train_with: Train) -> None:
    shares = dict[str, float]()
    first = list[float]()
    for grow in ("gradient", "accumulated", "random"):
        made = scheme(grow, "uniform", moving=0.5, every=0.5)
        model = train_with(made, lambda model, step: first.append(overlap(model)), epochs=30)
        shares[grow] = overlap(model)
    assert first[0] < 0.4
    assert shares["gradient"] > 0.9
    assert shares["accumulated"] > 0.9
    assert shares["random"] < min(shares["gradient"], shares["accumulated"])


def test_the_largest_stay_after_a_dense_warm_up(train_with: Train) -> None:
    inside = list[int]()

    def look(model: Any, step: Step) -> None:
        inside.append(sum(int(mask.sum()) for mask in model.masks))
        if step.number == round(0.1 * step.total):
            kept, size = model.masks[0] > 0, model.matrices[0].weight.abs()
            assert not size[~kept].any()

    train_with(scheme(start="magnitude", scope="uniform"), look)
    first = inside.index(27)
    assert inside == [TOTAL] * first + [27] * (len(inside) - first)
    assert first + 1 == round(0.1 * len(inside))


def test_moments_of_what_has_grown_are_those_of_a_fresh_entry(train_with: Train) -> None:
    told = list[tuple[int, int]]()

    class Noted(DynamicSparse):
        def after_step(self, step: Step) -> None:
            def note(parameter: Tensor, places: Tensor) -> None:
                told.append((step.number, int(places.sum())))
                step.forget(parameter, places)  # type: ignore[arg-type]

            super().after_step(
                Step(step.number, step.total, 0.05, step.loss, step.per_epoch, 0.0, note)
            )

    train_with(Noted(0.1, "uniform", "gradient", 0.3, 0.25), lambda model, step: None)
    grown = [count for _, count in told if count]
    assert grown
    assert all(count % 2 == 0 for count in grown), "as many have grown as were dropped"


def test_density_one_changes_nothing(train_with: Train) -> None:
    weights = [
        [m.weight for m in train_with(sparsity, lambda model, step: None).matrices]
        for sparsity in (scheme(density=1.0), NoSparsity())
    ]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_equal_seeds_grow_equal_entries(train_with: Train) -> None:
    first, second = (train_with(scheme("random"), lambda model, step: None) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.masks, second.masks, strict=True))
