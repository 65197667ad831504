"""Optuna's side of a study: what Optuna and Optuna Dashboard read.

Optuna's own classes create the tables and the study and read them. A finished trial is written
straight into the tables, for two reasons: it then stands in the transaction that writes ours, so
that no crash can part the two, and it costs a tenth of `create_new_trial`, which asks the database
three questions for every parameter. Tests hold what is written against what Optuna reads.
"""

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Connection, MetaData, Table, insert, select

from automl_rec.errors import StorageError, StudyMismatchError
from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Value
from automl_rec.storage.database import Database
from automl_rec.storage.records import FinishedTrial, State
from automl_rec.storage.url import shown

_COLUMNS = {
    "studies": ("study_id", "study_name"),
    "study_directions": ("study_id", "objective", "direction"),
    "trials": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "trial_params": ("trial_id", "param_name", "param_value", "distribution_json"),
    "trial_values": ("trial_id", "objective", "value", "value_type"),
    "trial_user_attributes": ("trial_id", "key", "value_json"),
    "trial_system_attributes": ("trial_id", "key", "value_json"),
}
_STATES: Mapping[State, str] = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


class Place(Protocol):
    """Where a configuration lies in a space, in Optuna's terms: dotted name -> value."""

    @property
    def values(self) -> Mapping[str, Value]:
        """What was chosen."""

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """What each value was chosen from; the same names."""


class Mirror:
    """The tables of Optuna in a database."""

    def __init__(self, database: Database) -> None:
        """Creates the tables where they are not there yet.

        Raises:
            StorageError: they are of an Optuna that this program does not know.
        """
        self._database = database
        self._storage = _storage(database)
        with database.reading() as connection:
            self._tables = {name: _table(name, connection, database) for name in _COLUMNS}

    def create(self, name: str, objectives: Sequence[Objective]) -> None:
        """Creates Optuna's study with its directions and metric names, or finds it half made.

        Raises:
            StudyMismatchError: somebody else's study bears the name.
            StorageError: the database refuses.
        """
        directions = [objective.direction for objective in objectives]
        try:
            with _quiet():
                study = optuna.create_study(
                    storage=self._storage, study_name=name, directions=directions
                )
        except StorageInternalError as error:
            raise self._database.explain(error) from error
        except DuplicatedStudyError:
            study = optuna.load_study(storage=self._storage, study_name=name)
            if study.trials or [d.name.lower() for d in study.directions] != directions:
                raise StudyMismatchError(
                    f"The storage {shown(self._database.url)} has an Optuna study {name!r} that "
                    f"automl-rec did not make. Name another with --study NEWNAME."
                ) from None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names([objective.name for objective in objectives])
        except StorageInternalError as error:
            raise self._database.explain(error) from error

    def study_id(self, connection: Connection, name: str) -> int:
        """Optuna's number of a study, held against other writers until the transaction ends.

        Raises:
            StorageError: the study is gone.
        """
        studies = self._tables["studies"].c
        query = select(studies.study_id).where(studies.study_name == name).with_for_update()
        found = connection.execute(query).scalar_one_or_none()
        if found is None:
            raise StorageError(
                f"The study {name!r} was deleted from Optuna's tables in "
                f"{shown(self._database.url)}. Name another with --study NEWNAME."
            )
        return int(found)

    def write(
        self,
        connection: Connection,
        study_id: int,
        trial: FinishedTrial,
        objectives: Sequence[Objective],
        place: Place | None,
    ) -> int:
        """Writes a finished trial and gives its number; the caller holds the study."""
        number = self._next_number(connection, study_id)
        row = _trial_row(trial) | {"study_id": study_id, "number": number}
        key = connection.execute(insert(self._tables["trials"]), row).inserted_primary_key
        assert key is not None
        for name, rows in (
            ("trial_params", _parameters(place)),
            ("trial_values", _values(trial, objectives)),
            ("trial_user_attributes", _attributes(trial)),
            ("trial_system_attributes", _constraints(trial, objectives)),
        ):
            if rows:
                owned = [{"trial_id": key[0], **row} for row in rows]
                connection.execute(insert(self._tables[name]), owned)
        return number

    def _next_number(self, connection: Connection, study_id: int) -> int:
        trials = self._tables["trials"].c
        # The last written has the highest; no index of Optuna's finds that among all numbers.
        numbers = select(trials.number).where(trials.study_id == study_id)
        last = numbers.order_by(trials.trial_id.desc()).limit(1)
        found = connection.execute(last).scalar_one_or_none()
        return 0 if found is None else int(found) + 1


def _storage(database: Database) -> RDBStorage:
    # Optuna puts its schema version into braces of the URL.
    url = database.url.render_as_string(hide_password=False)
    url = url.replace("{", "{{").replace("}", "}}")
    try:
        with _quiet(), database.faults():
            return RDBStorage(url, engine_kwargs={"pool": database.engine.pool})
    except StorageInternalError as error:
        raise database.explain(error) from error
    except RuntimeError as error:
        raise StorageError(f"The storage {shown(database.url)} cannot be used: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """What Optuna tells of a new study is no news to a user."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _table(name: str, connection: Connection, database: Database) -> Table:
    table = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
    missing = set(_COLUMNS[name]) - set(table.c.keys())
    if missing:
        raise StorageError(
            f"Optuna's table {name} in {shown(database.url)} must have {', '.join(missing)}, "
            f"which Optuna {optuna.__version__} does not write. Install optuna 5.0."
        )
    return table


def _trial_row(trial: FinishedTrial) -> dict[str, Any]:
    return {
        "state": _STATES[trial.state],
        "datetime_start": _utc(trial.started),
        "datetime_complete": _utc(trial.finished),
    }


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _parameters(place: Place | None) -> list[dict[str, Any]]:
    if place is None:
        return []
    return [
        {
            "param_name": name,
            "param_value": place.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(place.distributions[name]),
        }
        for name, value in place.values.items()
    ]


def _values(trial: FinishedTrial, objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    if trial.state != "complete":
        return []
    values = [trial.measurements[objective.name].value for objective in objectives]
    assert all(map(math.isfinite, values)), f"a complete trial has finite values, got {values}"
    return [
        {"objective": axis, "value": value, "value_type": "FINITE"}
        for axis, value in enumerate(values)
    ]


def _attributes(trial: FinishedTrial) -> list[dict[str, Any]]:
    """Scalars, which the dashboard shows as columns that sort."""
    described = {
        "digest": trial.digest,
        "model": next(iter(trial.configuration["model"])),
        "origin": trial.origin,
        "training": trial.training or None,
        "parent": trial.parent,
        "reason": trial.reason,
        "train_seconds": trial.train_seconds,
        **dict(_numbers(trial)),
    }
    return [
        {"key": key, "value_json": json.dumps(value)}
        for key, value in described.items()
        if value is not None
    ]


def _numbers(trial: FinishedTrial) -> Iterable[tuple[str, float]]:
    for name, measurement in trial.measurements.items():
        if math.isfinite(measurement.value):
            yield name, measurement.value
        if measurement.standard_error is not None:
            yield f"{name} standard error", measurement.standard_error


def _constraints(trial: FinishedTrial, objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """The form that the dashboard reads, a list; what is not known is not held against a trial."""
    if not trial.violations:
        return []
    bounded = [objective.name for objective in objectives if objective.bound is not None]
    listed = [trial.violations.get(name, 0.0) for name in bounded]
    return [{"key": "constraints", "value_json": json.dumps(listed)}]
