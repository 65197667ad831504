"""What views say of studies and trials."""

from collections.abc import Collection, Sequence

from automl_rec.costs import PRICED_ROWS
from automl_rec.objectives import task_of
from automl_rec.objectives.amount import amount
from automl_rec.objectives.objective import Objective
from automl_rec.search.events import StudyStarted
from automl_rec.storage.records import TrialRecord


def begun(event: StudyStarted) -> str:
    """How a search begins, in one sentence."""
    verb = "goes on after" if event.finished else "begins:"
    done = f" {counted(event.finished, 'trial')}:" if event.finished else ""
    limits = [counted(event.trials, "trial")] if event.trials is not None else []
    limits += [f"{event.seconds:.0f} s left"] if event.seconds is not None else []
    budget = " and ".join(limits) or "no limit"
    workers = counted(event.workers, "worker")
    return f"Study {event.name} {verb}{done} {budget}, {workers}, results in {event.folder}."


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun, e.g. ``1 trial``, ``3,000 trials``; ``nouns`` if not by an s."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def per_rows(names: Collection[str]) -> list[str]:
    """Of objectives where single events are judged, which are those of many, in a sentence."""
    found = [name for name in ("latency_ms", "operations") if name in names]
    if not found or not any(task_of(name) == "ranking" for name in names):
        return []
    verb = "is that" if len(found) == 1 else "are those"
    return [f"{' and '.join(found)} {verb} of {PRICED_ROWS:,} rows."]


def cells(trial: TrialRecord, objectives: Sequence[Objective]) -> list[str]:
    """A trial's measurements as text, one an objective, with the standard error where known."""
    return [_cell(trial, objective) for objective in objectives]


def numbered(trial: TrialRecord) -> str:
    """A trial's number, with that of the trial whose training it took over."""
    return str(trial.number) if trial.parent is None else f"{trial.number} of {trial.parent}"


def state_of(trial: TrialRecord) -> str:
    """A word for what became of a trial."""
    if trial.state == "pruned":
        return "stopped" if trial.worker else "refused"
    return {"complete": "done", "failed": "failed"}[trial.state]


def _cell(trial: TrialRecord, objective: Objective) -> str:
    found = trial.measurements.get(objective.name)
    if found is None:
        return "-"
    error = "" if objective.unit or not found.standard_error else f" ±{found.standard_error:.4f}"
    return amount(found.value, objective.unit) + error
