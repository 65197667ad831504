"""Many processes search a study, and what it is made from may be extended."""  # noqa: INP001 - alembic runs this file by its path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEPT = ("uuid", "study_id", "digest", "configuration", "seed", "origin", "started", "attempt")


def upgrade() -> None:
    """Replaces the lease of one process by workers; trials on their way wait for one of them."""
    op.drop_table("automl_rec_lease")
    with op.batch_alter_table("automl_rec_study") as study:
        study.add_column(sa.Column("components", sa.JSON, nullable=False, server_default="{}"))
        study.add_column(sa.Column("earlier", sa.JSON, nullable=False, server_default="[]"))
        study.add_column(sa.Column("budget", sa.JSON, nullable=False, server_default="{}"))
    op.create_table(
        "automl_rec_worker",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("automl_rec_study.id"), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process_started", sa.Double, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("trials_at_once", sa.BigInteger, nullable=False),
        sa.Column("lease_seconds", sa.Double, nullable=False),
        sa.Column("joined", sa.Double, nullable=False),
        sa.Column("heartbeat", sa.Double, nullable=False),
        sa.Column("left", sa.Double),
    )
    op.create_index("automl_rec_worker_study", "automl_rec_worker", ["study_id"])
    _replace_running()


def _replace_running() -> None:
    connection = op.get_bind()
    before = sa.Table("automl_rec_running", sa.MetaData(), autoload_with=connection)
    columns = [before.c[name] for name in _KEPT]
    waiting = [dict(row) for row in connection.execute(sa.select(*columns)).mappings()]
    op.drop_table("automl_rec_running")
    after = op.create_table(
        "automl_rec_running",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("automl_rec_study.id"), nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("owner", sa.Integer, sa.ForeignKey("automl_rec_worker.id")),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("losses", sa.BigInteger, nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.UniqueConstraint("study_id", "digest", name="automl_rec_running_digest"),
    )
    for row in waiting:
        connection.execute(sa.insert(after), row | {"losses": 0, "curve": []})
