"""Brings our tables to the version this program knows."""

from pathlib import Path

from alembic.command import upgrade as run_migrations
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from automl_rec.errors import StorageError
from automl_rec.storage.database import Database
from automl_rec.storage.tables import VERSION_TABLE
from automl_rec.storage.url import shown

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(database: Database) -> None:
    """Creates our tables, or migrates them, in one transaction.

    Raises:
        StorageError: a newer program made them, or the database refuses.
    """
    with database.reading() as connection:
        if is_current(connection, shown(database.url)):
            return
    with database.writing() as connection:
        config = _config()
        config.attributes["connection"] = connection
        run_migrations(config, "head")


def is_current(connection: Connection, where: str) -> bool:
    """Whether our tables are of the version this program knows; False where older or absent.

    Raises:
        StorageError: a newer program made them.
    """
    found = version(connection)
    scripts = ScriptDirectory.from_config(_config())
    if found not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise StorageError(
            f"The storage {where} has tables of version {found}, "
            f"this automl-rec knows versions up to {scripts.get_current_head()}. "
            f"Upgrade with pip install --upgrade automl-rec, or name another storage."
        )
    return found == scripts.get_current_head()


def version(connection: Connection) -> str | None:
    """The version of our tables; None where there are none."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
