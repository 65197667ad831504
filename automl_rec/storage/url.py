"""Addresses of databases: the default SQLite file, checks, and what messages may show."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from automl_rec.errors import StorageError

BACKENDS = ("sqlite", "postgresql")


def default_url(out: Path, study: str) -> str:
    """The SQLite file of a study: ``<out>/<study>/study.db``."""
    return URL.create(
        "sqlite", database=str((out / study / "study.db").absolute())
    ).render_as_string()


def parse(text: str) -> URL:
    """A checked address.

    Raises:
        StorageError: it is no address, of another kind of database, or of one in memory.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The text itself may hold a password.
        raise StorageError(
            "A storage must be a URL, got something else. "
            "Write sqlite:///path/to/study.db or postgresql://user@host/database."
        ) from None
    if url.get_backend_name() not in BACKENDS:
        raise StorageError(
            f"A storage must be SQLite or PostgreSQL, got {url.get_backend_name()}. "
            f"Write sqlite:///path/to/study.db or postgresql://user@host/database."
        )
    if is_sqlite(url) and url.database in (None, "", ":memory:"):
        raise StorageError(
            "A storage must outlive the process, got a SQLite database in memory. "
            "Write sqlite:///path/to/study.db."
        )
    return url


def is_sqlite(url: URL) -> bool:
    """Whether the database is a file of this machine."""
    return url.get_backend_name() == "sqlite"


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; None where the address is not a plain path."""
    database = url.database
    if not is_sqlite(url) or database is None or database.startswith("file:"):
        return None
    return Path(database)


def shown(url: URL) -> str:
    """The address without user, password and options: fit for messages."""
    public = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
    return public.render_as_string()
