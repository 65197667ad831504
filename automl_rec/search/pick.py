"""Which trial of a front a word means: ``knee``, ``best``, ``max-bytes=1MB``, or a number."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from automl_rec.errors import SpaceError
from automl_rec.objectives.objective import Objective
from automl_rec.space.units import parse_bytes, parse_seconds


@dataclass(frozen=True, slots=True)
class Pick:
    """What was asked for.

    Attributes:
        kind: ``"under"`` is the best trial that keeps a bound.
        number: of the trial.
        objective: whose bound.
        bound: the worst value allowed.
    """

    kind: Literal["knee", "best", "trial", "under"]
    number: int = 0
    objective: str = ""
    bound: float = 0.0


def parse_pick(text: str, objectives: Sequence[Objective]) -> Pick:
    """The pick that a word names.

    Args:
        text: ``"knee"``, ``"best"``, ``"max-COST=VALUE"`` of an objective to be minimised, or a
            trial's number.
        objectives: of the study.

    Raises:
        SpaceError: the word names nothing.
    """
    if text.isdecimal():
        return Pick("trial", number=int(text))
    if text == "knee":
        return Pick("knee")
    if text == "best":
        return Pick("best")
    name, _, bound = text.removeprefix("max-").partition("=")
    costs = {o.name: o for o in objectives if o.direction == "minimize"}
    if not text.startswith("max-") or not bound or name not in costs:
        words = ["knee", "best", *(f"max-{cost}=VALUE" for cost in costs), "a trial's number"]
        raise SpaceError(f"A pick must be one of {', '.join(words)}, got {text!r}. Choose one.")
    return Pick("under", objective=name, bound=_amount(costs[name], bound))


def _amount(objective: Objective, text: str) -> float:
    parse, example = _UNITS.get(objective.unit, (float, "0.5"))
    for reader in (parse, float):
        with contextlib.suppress(ValueError):
            return reader(text)
    raise SpaceError(
        f"The bound of {objective.name} must be a number, with a unit if it has one, got {text!r}. "
        f"Write, for example, max-{objective.name}={example}."
    )


def _milliseconds(text: str) -> float:
    return 1000.0 * parse_seconds(text)


_UNITS: dict[str, tuple[Callable[[str], float], str]] = {
    "B": (parse_bytes, "1MB"),
    "ms": (_milliseconds, "5ms"),
    "s": (parse_seconds, "90s"),
}
"""Unit of an objective -> who reads its bounds, and how one is written."""
