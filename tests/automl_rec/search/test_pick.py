"""Bounds of a pick are written as in a space."""

import pytest

from automl_rec.errors import SpaceError
from automl_rec.objectives import named
from automl_rec.objectives.objective import Objective
from automl_rec.search.pick import parse_pick


def costs() -> list[Objective]:
    names = ("auc", "logloss", "bytes", "latency_ms", "train_seconds")
    return [objective for name in names if (objective := named(name)) is not None]


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("max-bytes=1kB", 1000.0),
        ("max-bytes=1000", 1000.0),
        ("max-latency_ms=5ms", 5.0),
        ("max-latency_ms=2s", 2000.0),
        ("max-latency_ms=0.5", 0.5),
        ("max-train_seconds=2m", 120.0),
        ("max-logloss=0.6", 0.6),
    ],
)
def test_bounds_have_the_units_of_their_objective(text: str, bound: float) -> None:
    assert parse_pick(text, costs()).bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("max-latency_ms=5kB", "max-latency_ms=5ms"),
        ("max-train_seconds=5x", "max-train_seconds=90s"),
        ("max-logloss=5ms", "max-logloss=0.5"),
    ],
)
def test_a_bound_of_another_unit_is_refused_with_an_example(text: str, example: str) -> None:
    with pytest.raises(SpaceError, match=rf"Write, for example, {example}\.$"):
        parse_pick(text, costs())
