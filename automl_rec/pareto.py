"""What the trials of a study amount to: the front, its knee, its hypervolume.

Trials are compared on an array of values (N, K), float64: N trials, K objectives, every axis turned
so that smaller is better.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

import moocore
import numpy as np
import numpy.typing as npt

from automl_rec.objectives import is_quality
from automl_rec.objectives.objective import Measurement, Objective

Values: TypeAlias = npt.NDArray[np.float64]

DECADES = {"B": (0, 12), "multiply-adds": (0, 12), "ms": (-3, 5), "s": (-3, 6)}
"""Unit of a cost -> the powers of ten between which it counts: see `scaled`."""


class MeasuredTrial(Protocol):
    """What must be known of a trial to compare it."""

    @property
    def state(self) -> Literal["complete", "pruned", "failed"]:
        """Only complete trials are compared."""

    @property
    def measurements(self) -> Mapping[str, Measurement]:
        """Objective name -> measurement."""


T = TypeVar("T", bound=MeasuredTrial)


@dataclass(frozen=True, slots=True)
class Front(Generic[T]):
    """The trials worth choosing from.

    Attributes:
        trials: in the order they were given in.
        feasible: False where no trial keeps every bound; these then break them least.
    """

    trials: tuple[T, ...]
    feasible: bool


def front(trials: Sequence[T], objectives: Sequence[Objective]) -> Front[T]:
    """The non-dominated trials among those that keep every bound.

    Where none does, among those that break them least: the sum over the objectives of the part by
    which a value lies beyond its bound. Of trials with equal values the first stands for all.
    """
    measured = [trial for trial in trials if is_measured(trial, objectives)]
    if not measured:
        return Front((), feasible=True)
    violations = np.array([_violation(trial, objectives) for trial in measured])
    least = [t for t, v in zip(measured, violations, strict=True) if v == violations.min()]
    mask = non_dominated(turned(least, objectives))
    chosen = tuple(trial for trial, stays in zip(least, mask, strict=True) if stays)
    return Front(chosen, feasible=bool(violations.min() == 0))


def non_dominated(values: Values) -> npt.NDArray[np.bool_]:
    """Which rows of ``values`` (N, K) no other row beats; bool (N,).

    A row beats another where it is nowhere larger and somewhere smaller. Of equal rows only the
    first is marked. A row with a NaN or an infinity is never marked and beats none.
    """
    finite = np.isfinite(values).all(axis=1)
    mask = np.zeros(len(values), dtype=np.bool_)
    if finite.any():
        mask[finite] = moocore.is_nondominated(values[finite], keep_weakly=False)
    return mask


def hypervolume(values: Values, reference: npt.ArrayLike) -> float:
    """The volume that the rows of ``values`` (N, K) beat, up to ``reference`` (K,).

    Rows that do not lie below the reference on every axis add nothing, nor do rows with a NaN or
    an infinity.
    """
    bound = np.asarray(reference, dtype=np.float64)
    inside = values[np.isfinite(values).all(axis=1) & (values < bound).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=bound)) if len(inside) else 0.0


def hypervolume_of(trials: Sequence[MeasuredTrial], objectives: Sequence[Objective]) -> float:
    """The share of the unit cube of `scaled` that the feasible trials beat: from 0 to 1.

    Its reference point, 1 on every axis, depends on the objectives alone, so that the numbers of
    one study stay comparable while it grows.
    """
    return hypervolume(scaled(trials, objectives), np.ones(len(objectives)))


def hypervolumes(trials: Sequence[MeasuredTrial], objectives: Sequence[Objective]) -> Values:
    """`hypervolume_of` the trials up to each, in the order they are given in; float64 (N,)."""
    reference = np.ones(len(objectives))
    best = np.empty((0, len(objectives)))
    history = np.zeros(len(trials))
    for position, point in enumerate(scaled(trials, objectives)):
        volume = history[position - 1] if position else 0.0
        if (point < 1).all() and not (best <= point).all(axis=1).any():
            best = np.vstack([best, point])
            best = best[non_dominated(best)]
            volume = hypervolume(best, reference)
        history[position] = volume
    return history


def scaled(trials: Sequence[MeasuredTrial], objectives: Sequence[Objective]) -> Values:
    """Measurements as parts of an axis, smaller is better; float64 (N, K).

    A quality q from 0 to 1 becomes 1 - q, and a logloss 1 - exp(-q): exp(-q) is the geometric mean
    of the probabilities given to what came. A cost becomes its place between two powers of ten
    (`DECADES`, by its unit) on a logarithmic scale, from 0 at the lower, and below it, to 1 at the
    upper; the bound takes the upper one's place where there is one. So 1 is worthless on every
    axis: no quality, or a cost at the limit. A trial that is not complete, or breaks a bound, is a
    row of NaN.
    """
    rows = [
        [_place(trial.measurements[o.name].value, o) for o in objectives]
        if is_measured(trial, objectives) and _violation(trial, objectives) == 0
        else [math.nan] * len(objectives)
        for trial in trials
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(objectives))


def turned(trials: Sequence[MeasuredTrial], objectives: Sequence[Objective]) -> Values:
    """The measured values of complete trials, smaller is better; float64 (N, K)."""
    rows = [[o.sign * t.measurements[o.name].value for o in objectives] for t in trials]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(objectives))


def knee(values: Values) -> int:
    """The row of a front ``values`` (N, K), N >= 1, where giving up on one axis gains most.

    Every axis is stretched to [0, 1] over the front. The knee lies farthest below the plane through
    the worst end of every axis, sum = 1; with two axes that is the line between the front's ends.
    Hand in `scaled` values, so that costs count by their orders of magnitude. Of equals the first.
    """
    low = values.min(axis=0)
    span = values.max(axis=0) - low
    parts = (values - low) / np.where(span > 0, span, 1)
    return int(parts.sum(axis=1).argmin())


def best_under(
    trials: Sequence[T], objectives: Sequence[Objective], name: str, bound: float
) -> T | None:
    """The trial of best quality among those whose objective ``name`` keeps a bound.

    The quality is the study's first, or where it has none its first objective; of equals the one
    better in ``name``, then the first. None where no trial keeps the bound.
    """
    limited = next(objective for objective in objectives if objective.name == name)
    quality = next((o for o in objectives if is_quality(o.name)), objectives[0])
    order = (quality, limited)
    within = [
        trial
        for trial in trials
        if is_measured(trial, order)
        and limited.sign * (trial.measurements[name].value - bound) <= 0
    ]
    return min(
        within, key=lambda t: [o.sign * t.measurements[o.name].value for o in order], default=None
    )


def is_measured(trial: MeasuredTrial, objectives: Sequence[Objective]) -> bool:
    """Whether a trial is complete, with a finite value on every objective."""
    found = (trial.measurements.get(objective.name) for objective in objectives)
    return trial.state == "complete" and all(
        m is not None and math.isfinite(m.value) for m in found
    )


def _violation(trial: MeasuredTrial, objectives: Sequence[Objective]) -> float:
    """The parts by which values lie beyond their bounds, added up; 0 is feasible."""
    return sum(_beyond(o, trial.measurements[o.name].value) for o in objectives)


def _beyond(objective: Objective, value: float) -> float:
    return max(0.0, objective.violation(value)) / (abs(objective.bound or 0) or 1.0)


def _place(value: float, objective: Objective) -> float:
    if objective.direction == "maximize":
        return 1 - value
    if is_quality(objective.name):
        return -math.expm1(-value)
    low, high = DECADES[objective.unit]
    top = high if objective.bound is None else math.log10(max(objective.bound, 10.0**low))
    decades = math.log10(max(value, 10.0**low))
    return (decades - low) / (top - low) if top > low else 1.0
