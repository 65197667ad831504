"""Which trial of a study a word means: ``knee``, ``best``, ``max-bytes=1MB``, or a number."""

import contextlib
from typing import TYPE_CHECKING

from automl_rec.errors import SpaceError, StorageError
from automl_rec.space.units import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from automl_rec.objectives.objective import Objective
    from automl_rec.search.study import Study
    from automl_rec.storage.records import TrialRecord


def picked(study: "Study", pick: str) -> "TrialRecord":
    """The trial of a study that a word names; see `Study.picked`."""
    if pick.isdecimal():
        return _completed(study, study.trial(int(pick)))
    if pick == "best":
        front = study.front()
        return _required(study, front[0] if front else None, pick)
    if pick == "knee":
        return _required(study, study.knee(), pick)
    name, _, bound = pick.removeprefix("max-").partition("=")
    costs = {o.name: o for o in study.objectives if o.direction == "minimize"}
    if not pick.startswith("max-") or not bound or name not in costs:
        words = ["knee", "best", *(f"max-{cost}=VALUE" for cost in costs), "a trial's number"]
        raise SpaceError(f"A pick must be one of {', '.join(words)}, got {pick!r}. Choose one.")
    return _required(study, study.best_under(name, _amount(costs[name], bound)), pick)


def _completed(study: "Study", trial: "TrialRecord") -> "TrialRecord":
    if trial.state != "complete":
        raise StorageError(
            f"The trial {trial.number} of the study {study.name!r} must be complete to be "
            f"exported, but was {trial.state}. Choose one that automl-rec front lists."
        )
    return trial


def _required(study: "Study", trial: "TrialRecord | None", pick: str) -> "TrialRecord":
    if trial is None:
        raise StorageError(
            f"The study {study.name!r} has no trial that is {pick}. "
            f"See automl-rec front {study.name}, or search longer."
        )
    return trial


def _amount(objective: "Objective", text: str) -> float:
    parse = {"B": parse_bytes, "s": parse_seconds}.get(objective.unit, float)
    for reader in (parse, float):
        with contextlib.suppress(ValueError):
            return reader(text)
    raise SpaceError(
        f"The bound of {objective.name} must be a number, with a unit if it has one, got {text!r}. "
        f"Write, for example, max-bytes=1MB."
    )
