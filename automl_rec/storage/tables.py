"""Our tables; Optuna's stand beside them in the same database, see `mirror`.

A change here needs a migration in ``migrations/versions``: a test compares the two.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

VERSION_TABLE = "automl_rec_version"


class Tables(DeclarativeBase):
    """What all our tables share."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
        int: BigInteger,
        float: Double,
        str: Text,
    }


class StudyRow(Tables):
    """A study's manifest."""

    __tablename__ = "automl_rec_study"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    space_text: Mapped[str]
    space_digest: Mapped[str]
    data_digest: Mapped[str]
    data: Mapped[dict[str, Any]]
    objectives: Mapped[list[dict[str, Any]]]
    plugins: Mapped[dict[str, Any]]
    environment: Mapped[dict[str, Any]]
    seed: Mapped[int]
    created: Mapped[float]
    components: Mapped[dict[str, Any]]
    earlier: Mapped[list[dict[str, Any]]]
    budget: Mapped[dict[str, Any]]


class WorkerRow(Tables):
    """A process that runs trials of a study, now or once; `left` when it said good-bye."""

    __tablename__ = "automl_rec_worker"
    __table_args__ = (Index("automl_rec_worker_study", "study_id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    study_id: Mapped[int] = mapped_column(Integer, ForeignKey("automl_rec_study.id"))
    host: Mapped[str]
    pid: Mapped[int]
    process_started: Mapped[float]
    role: Mapped[str]
    engine: Mapped[str]
    trials_at_once: Mapped[int]
    lease_seconds: Mapped[float]
    joined: Mapped[float]
    heartbeat: Mapped[float]
    left: Mapped[float | None]


class TrialRow(Tables):
    """A finished trial; Optuna's number."""

    __tablename__ = "automl_rec_trial"
    __table_args__ = (
        UniqueConstraint("uuid", name="automl_rec_trial_uuid"),
        Index("automl_rec_trial_digest", "study_id", "digest"),
    )

    study_id: Mapped[int] = mapped_column(
        Integer, ForeignKey("automl_rec_study.id"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    uuid: Mapped[str]
    digest: Mapped[str]
    configuration: Mapped[dict[str, Any]]
    state: Mapped[str]
    reason: Mapped[str | None]
    measurements: Mapped[dict[str, Any]]
    violations: Mapped[dict[str, Any]]
    seed: Mapped[int]
    origin: Mapped[str]
    worker: Mapped[str | None]
    train_seconds: Mapped[float | None]
    started: Mapped[float]
    finished: Mapped[float]
    parent: Mapped[int | None]
    training: Mapped[str]
    artefact_path: Mapped[str | None]
    artefact_sha256: Mapped[str | None]
    artefact_bytes: Mapped[int | None]


class CurveRow(Tables):
    """One validation of a finished trial; no quality where it was not a number."""

    __tablename__ = "automl_rec_curve"

    study_id: Mapped[int] = mapped_column(
        Integer, ForeignKey("automl_rec_study.id"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    quality: Mapped[float | None]
    standard_error: Mapped[float | None]
    seconds: Mapped[float]


class RunningRow(Tables):
    """A trial on its way, of nobody where it waits; gone in the transaction that records it."""

    __tablename__ = "automl_rec_running"
    __table_args__ = (UniqueConstraint("study_id", "digest", name="automl_rec_running_digest"),)

    uuid: Mapped[str] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(Integer, ForeignKey("automl_rec_study.id"))
    digest: Mapped[str]
    configuration: Mapped[dict[str, Any]]
    seed: Mapped[int]
    origin: Mapped[str]
    owner: Mapped[int | None] = mapped_column(Integer, ForeignKey("automl_rec_worker.id"))
    started: Mapped[float]
    attempt: Mapped[int]
    losses: Mapped[int]
    curve: Mapped[list[dict[str, Any]]]
    training: Mapped[str]
    parent: Mapped[int | None]
