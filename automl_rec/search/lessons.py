"""What is learned from recorded trials: by the sampler, and by early stopping."""

from collections.abc import Mapping, Sequence

from automl_rec.objectives import is_quality
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.search.early_stopping import Curve, Standing
from automl_rec.search.suggestions import Lesson
from automl_rec.storage.records import CurvePoint, FinishedTrial, TrialRecord

CUT_SHORT = "Training ended at its time limit."
TIME_OVER = "The study's time ended before this trial did."


def lesson_of(trial: FinishedTrial, objectives: Sequence[Objective]) -> Lesson:
    """What the sampler may learn of a trial: one that failed counts as poor, so it is avoided."""
    if trial.state != "complete":
        return Lesson(None, trial.violations)
    values = {o.name: trial.measurements[o.name].value for o in objectives}
    return Lesson(values, trial.violations)


def standing_of(
    trial: FinishedTrial,
    curve: Sequence[CurvePoint],
    highest_costs: Mapping[str, float],
    quality: Objective,
) -> Standing:
    """Where a complete trial stands; a training that time cut short tells nothing of gains."""
    measured = {name: found.value for name, found in trial.measurements.items()}
    costs = {**highest_costs, "train_seconds": trial.train_seconds or 0.0, **measured}
    points = [] if trial.reason == CUT_SHORT else upward(curve, quality)
    best = quality.upward(measured[quality.name])
    return Standing(next(iter(trial.configuration["model"])), costs, points, best)


def upward(curve: Sequence[CurvePoint], quality: Objective) -> Curve:
    """A curve turned so that larger is better."""
    return [(point.epoch, quality.upward(point.quality)) for point in curve]


def violations_of(
    objectives: Sequence[Objective], measured: Mapping[str, Measurement]
) -> dict[str, float]:
    """How far each bounded objective lies beyond its bound, where it is measured."""
    bounded = [o for o in objectives if o.bound is not None and o.name in measured]
    return {o.name: o.violation(measured[o.name].value) for o in bounded}


def by_quality(trials: Sequence[TrialRecord], quality: Objective) -> tuple[TrialRecord, ...]:
    """Complete trials, best quality first."""
    return tuple(sorted(trials, key=lambda t: quality.sign * t.measurements[quality.name].value))


def watched(objectives: Sequence[Objective]) -> Objective:
    """The quality that training watches and fronts are ordered by: the first."""
    return next(objective for objective in objectives if is_quality(objective.name))
