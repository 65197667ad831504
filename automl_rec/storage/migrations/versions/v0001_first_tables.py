"""The first tables."""  # noqa: INP001 - alembic runs this file by its path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates the tables of studies, leases, trials, curves and running trials."""
    op.create_table(
        "automl_rec_study",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("space_text", sa.Text, nullable=False),
        sa.Column("space_digest", sa.Text, nullable=False),
        sa.Column("data_digest", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("objectives", sa.JSON, nullable=False),
        sa.Column("plugins", sa.JSON, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "automl_rec_lease",
        _study(primary_key=True),
        *_owner(),
        sa.Column("heartbeat", sa.Double, nullable=False),
    )
    _create_trials()
    _create_curves()
    _create_running()


def _create_trials() -> None:
    op.create_table(
        "automl_rec_trial",
        _study(primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("uuid", sa.Text, nullable=False),
        *_proposal(),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("measurements", sa.JSON, nullable=False),
        sa.Column("violations", sa.JSON, nullable=False),
        sa.Column("train_seconds", sa.Double),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("finished", sa.Double, nullable=False),
        sa.Column("parent", sa.BigInteger),
        sa.Column("artefact_path", sa.Text),
        sa.Column("artefact_sha256", sa.Text),
        sa.Column("artefact_bytes", sa.BigInteger),
        sa.UniqueConstraint("uuid", name="automl_rec_trial_uuid"),
    )
    op.create_index("automl_rec_trial_digest", "automl_rec_trial", ["study_id", "digest"])


def _create_curves() -> None:
    op.create_table(
        "automl_rec_curve",
        _study(primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("quality", sa.Double),
        sa.Column("standard_error", sa.Double),
        sa.Column("seconds", sa.Double, nullable=False),
    )


def _create_running() -> None:
    op.create_table(
        "automl_rec_running",
        sa.Column("uuid", sa.Text, primary_key=True),
        _study(primary_key=False),
        *_proposal(),
        *_owner(),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("heartbeat", sa.Double, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
    )
    op.create_index("automl_rec_running_study", "automl_rec_running", ["study_id"])


def _study(*, primary_key: bool) -> sa.Column[int]:
    return sa.Column(
        "study_id",
        sa.Integer,
        sa.ForeignKey("automl_rec_study.id"),
        primary_key=primary_key,
        nullable=False,
        autoincrement=False,
    )


def _owner() -> tuple[sa.Column[str], sa.Column[int], sa.Column[float]]:
    return (
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process_started", sa.Double, nullable=False),
    )


def _proposal() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("worker", sa.Text),
    )
