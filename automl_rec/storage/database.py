"""One open database: connections, short transactions, and its faults put in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection as SqliteConnection
from sqlite3 import OperationalError as SqliteError
from time import monotonic, sleep
from typing import Any

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from automl_rec.errors import StorageError
from automl_rec.storage.url import is_sqlite, shown

BUSY_SECONDS = 60
_REMEDIES = {
    "full": "Free space and run the same command again: recorded trials are safe",
    "disk i/o": "Check the disk and run the same command again: recorded trials are safe",
    "locked": "Another process holds it: wait for it to end, or keep the file off network drives",
    "busy": "Another process holds it: wait for it to end, or keep the file off network drives",
    "readonly": "Allow writing to the file and its folder",
    "not a database": "Name another file with --storage, or move this one away",
    "malformed": "Restore it from a copy, or name another file with --storage",
    "unable to open": "Check that the path is a file that may be read and written",
    "connect": "Check that the server runs and the address is right, and run the command again",
}


class Database:
    """A database; our transactions and Optuna's use the connections of one pool."""

    def __init__(self, url: URL) -> None:
        """Connects to nothing yet.

        Raises:
            StorageError: the driver is not installed.
        """
        self.url = url
        try:
            self.engine = _engine(url)
        except ImportError:
            raise StorageError(
                f"The storage {shown(url)} needs a driver that is not installed. "
                f"Install one, e.g. pip install 'psycopg[binary]'."
            ) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.faults(), self.engine.connect() as connection:
            yield connection

    def rows(self, query: Select[*tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Reads what a query selects: column -> value."""
        with self.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [{str(column): value for column, value in row.items()} for row in rows]

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes as a whole, or not at all."""
        with self.faults(), self.engine.connect() as connection:
            if is_sqlite(self.url):
                # What is read before the first write must not change until then.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Puts the database's own errors in words.

        Raises:
            StorageError: the database refused.
        """
        try:
            yield
        except SQLAlchemyError as error:
            raise self.explain(error) from error

    def explain(self, error: BaseException) -> StorageError:
        """The error a user is shown, without credentials."""
        fact = _reason(error)
        if self.url.password:
            fact = fact.replace(str(self.url.password), "***")
        remedy = next(
            (text for sign, text in _REMEDIES.items() if sign in fact.lower()),
            "Run the same command again; recorded trials are safe",
        )
        return StorageError(f"The storage {shown(self.url)} failed: {fact}. {remedy}.")

    def close(self) -> None:
        """Gives every connection back."""
        self.engine.dispose()


def _engine(url: URL) -> Engine:
    if not is_sqlite(url):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: SqliteConnection, _record: object) -> None:
    """Write-ahead log: readers never wait, and a commit costs no wait for the disk."""
    _keep_log(connection)
    connection.execute("PRAGMA synchronous=NORMAL")


def _keep_log(connection: SqliteConnection) -> None:
    """Sets the journal; SQLite does not wait here for others, so a new file's makers could meet."""
    patience = monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except SqliteError as error:
            if "locked" not in str(error) or monotonic() > patience:
                raise
            sleep(0.01)
        else:
            return


def _reason(error: BaseException) -> str:
    """The driver's own sentence, found down the chain of causes."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DBAPIError):
        cause = cause.__cause__
    original = cause.orig if isinstance(cause, DBAPIError) and cause.orig else error
    lines = str(original).strip().splitlines() or [type(original).__name__]
    return lines[0].rstrip(".")
