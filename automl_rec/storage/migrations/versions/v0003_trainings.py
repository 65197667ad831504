"""Trials share trainings: which one a trial has, and whose."""  # noqa: INP001 - alembic runs this file by its path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the columns; trainings of before are shared with nobody, and begin again."""
    with op.batch_alter_table("automl_rec_trial") as trial:
        trial.add_column(sa.Column("training", sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("automl_rec_running") as running:
        running.add_column(sa.Column("training", sa.Text, nullable=False, server_default=""))
        running.add_column(sa.Column("parent", sa.BigInteger))
