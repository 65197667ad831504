"""What a study came to, in plain sentences."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from automl_rec.objectives.amount import amount
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.search.lessons import TIME_OVER, by_quality, watched
from automl_rec.search.title import title_of
from automl_rec.search.wording import counted
from automl_rec.space.configuration import Configuration
from automl_rec.storage.records import TrialRecord

NOISE = 2.0
"""Standard errors of a difference within which two qualities are not told apart."""


def sentences(
    trials: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    references: Collection[str],
    repeats: int = 0,
) -> tuple[str, ...]:
    """Counts with the time spent, failures, and what the numbers do not show.

    Args:
        trials: all recorded.
        front: those on the front.
        objectives: of the study.
        references: models that every study is compared with.
        repeats: suggestions skipped because they had been run.
    """
    quality = watched(objectives)
    found = [_counts(trials, repeats), *_failures(trials)]
    found += _infeasible(front, objectives)
    found += _compared(trials, front, quality, references)
    found += _neighbours(front, quality)
    return tuple(found)


def above_references(
    trials: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    quality: Objective,
    references: Collection[str],
) -> tuple[TrialRecord, ...]:
    """The trials of a front whose quality is above every reference's by more than noise."""
    known = [
        t.measurements[quality.name]
        for t in trials
        if t.state == "complete" and _model(t) in references
    ]
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
    """Whether two qualities differ by less than `NOISE` standard errors (users unpaired)."""
    if one.standard_error is None or other.standard_error is None:
        return False
    error = math.hypot(one.standard_error, other.standard_error)
    return abs(one.value - other.value) < NOISE * error


def _counts(trials: Sequence[TrialRecord], repeats: int) -> str:
    stopped = [t for t in trials if t.state == "pruned" and t.worker is not None]
    groups = {
        "complete": [t for t in trials if t.state == "complete"],
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
    references: Collection[str],
) -> list[str]:
    """How the front's best stands to the reference (popularity)."""
    known = [t for t in trials if t.state == "complete" and _model(t) in references]
    others = [t for t in front if _model(t) not in references]
    if not known:
        return []
    reference = by_quality(known, quality)[0]
    name, base = _model(reference), reference.measurements[quality.name]
    best = next(iter(by_quality(others, quality)), None)
    top = base if best is None else best.measurements[quality.name]
    if best is None or quality.upward(top.value) <= quality.upward(base.value):
        return [f"Nothing found beats {name} ({quality.name} {base.value:.4f})."]
    if indistinct(top, base):
        return [
            (
                f"The best {quality.name}, {_with_error(top)}, is within the noise of {name}'s "
                f"{_with_error(base)}."
            )
        ]
    return [
        (
            f"The best {quality.name} is {_with_error(top)} ({_title(best)}); {name} has "
            f"{_with_error(base)}."
        )
    ]


def _neighbours(front: Sequence[TrialRecord], quality: Objective) -> list[str]:
    ranked = [trial.measurements[quality.name] for trial in by_quality(front, quality)]
    close = sum(indistinct(a, b) for a, b in pairwise(ranked))
    if not close:
        return []
    return [
        (
            f"{close} of {len(ranked) - 1} neighbours on the front differ in {quality.name} by "
            f"less than {NOISE:g} standard errors (users unpaired): the order among them may be "
            f"chance."
        )
    ]


def _with_error(found: Measurement) -> str:
    error = found.standard_error
    return f"{found.value:.4f}" + ("" if error is None else f" ± {error:.4f}")


def _model(trial: TrialRecord) -> str:
    return str(next(iter(trial.configuration["model"])))


def _title(trial: TrialRecord) -> str:
    return title_of(Configuration.from_dict(trial.configuration))
