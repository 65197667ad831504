"""The rule `safe`: hand-worked cases, and what it may never do."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.objectives.objective import Objective
from automl_rec.search.early_stopping import (
    NoStopping,
    SafeStopping,
    Standing,
    compared_costs,
    make_rule,
)

NDCG = Objective("ndcg@10", "maximize", "")
BYTES = Objective("bytes", "minimize", "B", priced=True)
LATENCY = Objective("latency_ms", "minimize", "ms")
SECONDS = Objective("train_seconds", "minimize", "s")


def trained(
    curve: Sequence[float], size: float, model: str = "tower", quality: float | None = None
) -> Standing:
    points = list(enumerate(curve, start=1))
    best = max(curve) if quality is None else quality
    return Standing(model, {"bytes": size}, points, best)


def safe(*finished: Standing, min_epochs: int = 1, min_finished: int = 2) -> SafeStopping:
    rule = SafeStopping(("bytes",), min_epochs=min_epochs, min_finished=min_finished)
    for standing in finished:
        rule.add(standing)
    return rule


# After epoch 1 these two still gained 0.2 and 0.1, after epoch 2 0.1 and 0.0.
RISING = (trained([0.1, 0.2, 0.3], 100), trained([0.2, 0.3, 0.3], 100))


@pytest.mark.parametrize(
    ("curve", "size", "stopped"),
    [
        ([0.09], 100, True),  # 0.09 + 0.2 <= 0.3
        ([0.11], 100, False),  # 0.11 + 0.2 > 0.3
        ([0.09, 0.19], 100, True),  # 0.19 + 0.1 <= 0.3
        ([0.09, 0.21], 100, False),
        ([0.21, 0.15], 100, False),  # the best so far counts
        ([0.09], 99, False),  # nothing finished is as small
        ([0.09], 1000, True),
    ],
)
def test_hand_worked_cases(curve: list[float], size: float, *, stopped: bool) -> None:
    assert safe(*RISING).stops(trained(curve, size)) is stopped


def test_beyond_the_last_epoch_known_the_last_gain_still_bounds() -> None:
    assert safe(*RISING).stops(trained([0.1] * 9 + [0.3], 100))
    assert not safe(*RISING).stops(trained([0.1] * 9 + [0.31], 100))


def test_nothing_is_stopped_before_min_epochs_or_with_too_few_finished() -> None:
    hopeless = trained([0.0, 0.0], 1000)
    assert safe(*RISING).stops(hopeless)
    assert not safe(*RISING, min_epochs=3).stops(hopeless)
    assert not safe(*RISING, min_finished=3).stops(hopeless)
    assert not safe().stops(hopeless)


def test_a_model_with_enough_curves_is_judged_by_its_own() -> None:
    fast = [trained([0.3, 0.3, 0.3], 100, "fast") for _ in range(2)]
    rule = safe(*RISING, *fast)
    # Its own kind gains nothing after epoch 1; the others gained 0.2.
    assert rule.stops(trained([0.25], 100, "fast"))
    assert not rule.stops(trained([0.25], 100, "tower"))
    # A third kind is judged by all.
    assert not rule.stops(trained([0.25], 100, "new"))
    assert rule.stops(trained([0.09], 100, "new"))


def test_closed_forms_dominate_though_they_have_no_curve() -> None:
    closed = Standing("closed", {"bytes": 10.0}, [], 0.5)
    assert safe(*RISING, closed).stops(trained([0.2], 10))
    assert not safe(*RISING, closed).stops(trained([0.2], 9))


curves = st.lists(st.floats(0, 1), min_size=1, max_size=6)
sizes = st.floats(1, 1000)
standings = st.builds(trained, curves, sizes, st.sampled_from(["tower", "other"]))


@given(st.lists(standings, max_size=12), curves, sizes)
def test_a_newcomer_that_dominates_everything_is_never_stopped(
    finished: list[Standing], curve: list[float], size: float
) -> None:
    best = max([standing.quality for standing in finished], default=0.0)
    smallest = min([standing.costs["bytes"] for standing in finished], default=size)
    rule = safe(*finished)
    assert not rule.stops(trained([*curve, best + 0.01], size))
    assert not rule.stops(trained(curve, min(size, smallest) - 0.5))


@given(st.lists(standings, min_size=2, max_size=12), curves, sizes)
def test_whatever_is_stopped_is_dominated_now(
    finished: list[Standing], curve: list[float], size: float
) -> None:
    running = trained(curve, size)
    dominated = any(f.costs["bytes"] <= size and f.quality >= running.quality for f in finished)
    assert dominated or not safe(*finished).stops(running)


@given(st.lists(standings, max_size=8), standings)
def test_none_stops_nothing(finished: list[Standing], running: Standing) -> None:
    rule, note = make_rule("none", [NDCG, BYTES], min_epochs=1, min_finished=1)
    for standing in finished:
        rule.add(standing)
    assert not rule.stops(running)
    assert note is None


def test_operations_and_bytes_stand_for_latency_and_time_is_compared() -> None:
    assert compared_costs([NDCG, LATENCY]) == (("operations", "bytes"), ())
    assert compared_costs([NDCG, BYTES, SECONDS]) == (("bytes", "train_seconds"), ())


def test_a_second_quality_switches_the_rule_off_and_says_so() -> None:
    coverage = Objective("coverage@10", "maximize", "")
    rule, note = make_rule("safe", [NDCG, coverage, BYTES], min_epochs=1, min_finished=1)
    assert isinstance(rule, NoStopping)
    assert note is not None
    assert "coverage@10" in note
