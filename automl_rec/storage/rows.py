"""Records to rows of our tables, and back."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import (
    Artefact,
    CurvePoint,
    FinishedTrial,
    Manifest,
    RunningTrial,
    TrialRecord,
    Worker,
)

Columns = dict[str, Any]


def manifest_row(manifest: Manifest) -> Columns:
    """The columns of a manifest."""
    return asdict(manifest) | {"earlier": list(manifest.earlier)}


def manifest_of(row: Mapping[str, Any]) -> Manifest:
    """The manifest of a row."""
    values = {name: value for name, value in row.items() if name not in {"id", "budget"}}
    objectives = tuple(Objective(**objective) for objective in row["objectives"])
    return Manifest(**values | {"objectives": objectives, "earlier": tuple(row["earlier"])})


def trial_row(trial: FinishedTrial, study: int, number: int) -> Columns:
    """The columns of a finished trial."""
    columns = asdict(trial)
    artefact = columns.pop("artefact") or dict.fromkeys(("path", "sha256", "bytes"))
    named = {f"artefact_{name}": value for name, value in artefact.items()}
    measured = {name: _measured(m) for name, m in trial.measurements.items()}
    return columns | named | {"measurements": measured, "study_id": study, "number": number}


def trial_of(row: Mapping[str, Any]) -> TrialRecord:
    """The trial of a row."""
    columns = {name: value for name, value in row.items() if name != "study_id"}
    path, sha256, size = (columns.pop(f"artefact_{n}") for n in ("path", "sha256", "bytes"))
    columns["artefact"] = None if path is None else Artefact(path, sha256, size)
    columns["measurements"] = {
        name: Measurement(_number(m["value"]), m["standard_error"])
        for name, m in row["measurements"].items()
    }
    return TrialRecord(**columns)


def curve_rows(curve: Iterable[CurvePoint]) -> list[Columns]:
    """The columns of a curve, but its study and number."""
    return [asdict(point) | {"quality": _finite(point.quality)} for point in curve]


def curve_point(row: Mapping[str, Any]) -> CurvePoint:
    """The validation of a row."""
    return CurvePoint(row["epoch"], _number(row["quality"]), row["standard_error"], row["seconds"])


def running_row(trial: RunningTrial, study: int) -> Columns:
    """The columns of a running trial."""
    return asdict(trial) | {"study_id": study, "curve": curve_rows(trial.curve)}


def running_of(row: Mapping[str, Any]) -> RunningTrial:
    """The running trial of a row."""
    columns = {name: value for name, value in row.items() if name != "study_id"}
    return RunningTrial(**columns | {"curve": tuple(map(curve_point, row["curve"]))})


def worker_of(row: Mapping[str, Any]) -> Worker:
    """The worker of a row."""
    ours = {"id", "study_id", "host", "pid", "process_started"}
    columns = {name: value for name, value in row.items() if name not in ours}
    return Worker(number=row["id"], owner=owner_of(row), **columns)


def owner_row(owner: Owner) -> Columns:
    """The columns of an owner."""
    return {"host": owner.host, "pid": owner.pid, "process_started": owner.started}


def owner_of(row: Mapping[str, Any]) -> Owner:
    """The owner of a row."""
    return Owner(row["host"], row["pid"], row["process_started"])


def _measured(measurement: Measurement) -> Columns:
    return {
        "value": _finite(measurement.value),
        "standard_error": measurement.standard_error,
    }


def _finite(value: float) -> float | None:
    """Neither JSON nor every database has a NaN."""
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
