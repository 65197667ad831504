"""What a study came to, in plain sentences."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from automl_rec.objectives import task_of
from automl_rec.objectives.amount import amount
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.search.lessons import TIME_OVER, by_quality, watched
from automl_rec.search.reason import commonest
from automl_rec.search.references import References
from automl_rec.search.title import title_of
from automl_rec.search.wording import counted, per_rows
from automl_rec.space.configuration import Configuration
from automl_rec.storage.records import DERIVED, TrialRecord

NOISE = 2.0
"""Standard errors of a difference within which two qualities are not told apart."""


def sentences(
    trials: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    references: References,
    repeats: int = 0,
) -> tuple[str, ...]:
    """Counts with the time spent, failures, and what the numbers do not show.

    Args:
        trials: all recorded.
        front: those on the front.
        objectives: of the study.
        references: what the study is compared with.
        repeats: suggestions skipped because they had been run.
    """
    quality = watched(objectives)
    found = [_counts(trials, repeats), *_failures(trials), *_refusals(trials)]
    infeasible = _infeasible(front, objectives)
    # Such a front has not the best qualities, so that nothing can be said of them by it.
    found += infeasible or _compared(trials, front, quality, references)
    found += _neighbours(front, quality)
    found += per_rows([objective.name for objective in objectives])
    return tuple(found)


def above_references(
    trials: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    quality: Objective,
    references: References,
) -> tuple[TrialRecord, ...]:
    """The trials of a front whose quality is above every reference's by more than noise."""
    known = [t.measurements[quality.name] for t in _complete(trials, references.models)]
    if quality.name in references.constant:
        known.append(Measurement(references.constant[quality.name], 0.0))
    return tuple(
        trial
        for trial in front
        if all(_above(trial.measurements[quality.name], r, quality) for r in known)
    )


def _above(one: Measurement, other: Measurement, quality: Objective) -> bool:
    better = quality.upward(one.value) > quality.upward(other.value)
    return better and not indistinct(one, other)


def commonest_reason(trials: Sequence[TrialRecord]) -> str | None:
    """Why most of the failed trials failed; None where none did."""
    reasons = Counter(trial.reason or "unknown" for trial in trials if trial.state == "failed")
    return reasons.most_common(1)[0][0] if reasons else None


def indistinct(one: Measurement, other: Measurement) -> bool:
    """Whether two qualities differ by less than `NOISE` standard errors (not paired)."""
    if one.standard_error is None or other.standard_error is None:
        return False
    error = math.hypot(one.standard_error, other.standard_error)
    return abs(one.value - other.value) < NOISE * error


def _counts(trials: Sequence[TrialRecord], repeats: int) -> str:
    stopped = [t for t in trials if t.state == "pruned" and t.worker is not None]
    groups = {
        "complete": [t for t in trials if t.state == "complete" and t.origin != DERIVED],
        "derived from their trainings": [
            t for t in trials if t.state == "complete" and t.origin == DERIVED
        ],
        "stopped early": [t for t in stopped if t.reason != TIME_OVER],
        "cut off by the end of the time": [t for t in stopped if t.reason == TIME_OVER],
        "refused before training": [t for t in trials if t.state == "pruned" and not t.worker],
        "failed": [t for t in trials if t.state == "failed"],
    }
    parts = [f"{len(found)} {name}{_time(found)}" for name, found in groups.items() if found]
    if repeats:
        parts.append(f"{counted(repeats, 'suggestion')} skipped as repeats")
    return f"{counted(len(trials), 'trial')}: {', '.join(parts)}." if parts else "No trial was run."


def _time(trials: Sequence[TrialRecord]) -> str:
    seconds = sum(t.finished - t.started for t in trials if t.worker is not None)
    return f" ({seconds:.0f} s)" if seconds >= 1 else ""


def _failures(trials: Sequence[TrialRecord]) -> list[str]:
    failed = [trial for trial in trials if trial.state == "failed"]
    reason = commonest_reason(trials)
    if reason is None:
        return []
    times = sum(trial.reason == reason for trial in failed)
    return [f"The commonest failure ({times} of {len(failed)}): {reason}"]


def _refusals(trials: Sequence[TrialRecord]) -> list[str]:
    """Why most were refused, where more were refused than ran."""
    reasons = [t.reason or "unknown" for t in trials if t.state == "pruned" and t.worker is None]
    most = commonest(reasons)
    if most is None or 2 * len(reasons) <= len(trials):
        return []
    return [f"The commonest refusal ({most[1]} of {len(reasons)}): {most[0]}"]


def _infeasible(front: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[str]:
    if not front or all(v <= 0 for trial in front for v in trial.violations.values()):
        return []
    bounds = ", ".join(
        f"{o.name} {amount(o.bound, o.unit)}" for o in objectives if o.bound is not None
    )
    return [f"No trial keeps the bounds ({bounds}); shown are those that break them least."]


def _compared(
    trials: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    quality: Objective,
    references: References,
) -> Iterator[str]:
    """How the front's best stands to popularity, or to a constant answer and the simplest model."""
    bases = _bests(_complete(trials, references.models), quality)
    if quality.name in references.constant:
        bases = [("a constant answer", Measurement(references.constant[quality.name], 0.0))]
    best = next(iter(by_quality(_others(front, references.models), quality)), None)
    if not bases or not any(trial.state == "complete" for trial in trials):
        return
    name, base = bases[0]
    top = base if best is None else best.measurements[quality.name]
    if best is None or quality.upward(top.value) <= quality.upward(base.value):
        yield f"Nothing found beats {name} ({quality.name} {base.value:.4f})."
        return
    if indistinct(top, base):
        yield (
            f"The best {quality.name}, {_with_error(top)}, is within the noise of {name}'s "
            f"{_with_error(base)}."
        )
    else:
        yield (
            f"The best {quality.name} is {_with_error(top)} ({_title(best)}); {name} has "
            f"{_with_error(base)}."
        )
    yield from _against_simplest(trials, quality, references.simplest)


def _against_simplest(
    trials: Sequence[TrialRecord], quality: Objective, simplest: Collection[str]
) -> Iterator[str]:
    """How the best of all other models stands to the simplest, where both were measured."""
    simple = _bests(_complete(trials, simplest), quality)
    others = _bests(_others(trials, simplest), quality)
    if not simple or not others:
        return
    (name, base), (other, top) = simple[0], others[0]
    if quality.upward(top.value) <= quality.upward(base.value):
        yield f"No other model beats {name} ({quality.name} {_with_error(base)})."
    elif indistinct(top, base):
        yield (
            f"What {other} gains over {name} ({quality.name} {_with_error(base)}) is within the "
            f"noise."
        )
    else:
        yield f"{name} has {_with_error(base)}."


def _complete(trials: Sequence[TrialRecord], models: Collection[str]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.state == "complete" and _model(trial) in models]


def _others(trials: Sequence[TrialRecord], models: Collection[str]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.state == "complete" and _model(trial) not in models]


def _bests(trials: Sequence[TrialRecord], quality: Objective) -> list[tuple[str, Measurement]]:
    """Model and quality of trials, best first."""
    ranked = by_quality(trials, quality)
    return [(_model(trial), trial.measurements[quality.name]) for trial in ranked]


def _neighbours(front: Sequence[TrialRecord], quality: Objective) -> list[str]:
    ranked = [trial.measurements[quality.name] for trial in by_quality(front, quality)]
    close = sum(indistinct(a, b) for a, b in pairwise(ranked))
    judged = "rows" if task_of(quality.name) == "ranking" else "users"
    if not close:
        return []
    return [
        (
            f"{close} of {len(ranked) - 1} neighbours on the front differ in {quality.name} by "
            f"less than {NOISE:g} standard errors ({judged} unpaired): "
            f"the order among them may be chance."
        )
    ]


def _with_error(found: Measurement) -> str:
    error = found.standard_error
    return f"{found.value:.4f}" + (f" ± {error:.4f}" if error else "")


def _model(trial: TrialRecord) -> str:
    return str(next(iter(trial.configuration["model"])))


def _title(trial: TrialRecord) -> str:
    return title_of(Configuration.from_dict(trial.configuration))
