"""One open database: connections, short transactions, and its faults put in words."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sqlite3 import Connection as SqliteConnection
from sqlite3 import OperationalError as SqliteError
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from automl_rec.errors import StorageError
from automl_rec.storage.url import is_sqlite, shown

T = TypeVar("T")
BUSY_SECONDS = 60
PATIENCE_SECONDS = 120.0
"""How long a server may be away before that is an error: long enough to restart it."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
_PASSING = ("08", "40", "57P")
"""SQLSTATE classes of faults that pass: connections, deadlocks, a server that is restarted."""
_REMEDIES = {
    "full": "Free space and run the same command again: recorded trials are safe",
    "no space": "Free space and run the same command again: recorded trials are safe",
    "disk i/o": "Check the disk and run the same command again: recorded trials are safe",
    "locked": "Another process holds it: wait for it to end, or keep the file off network drives",
    "busy": "Another process holds it: wait for it to end, or keep the file off network drives",
    "readonly": "Allow writing to the file and its folder",
    "not a database": "Name another file with --storage, or move this one away",
    "malformed": "Restore it from a copy, or name another file with --storage",
    "unable to open": "Check that the path is a file that may be read and written",
    "password": "Check user and password; a file ~/.pgpass or PGPASSWORD keeps them off the screen",
    "does not exist": "Create it, or name another --storage",
    "connect": "Check that the server runs and the address is right, and run the command again",
}


class Database:
    """A database; our transactions and Optuna's use the connections of one pool.

    Args:
        url: its address.
        patience: seconds that a server may be away once it has been reached.
    """

    def __init__(self, url: URL, patience: float = PATIENCE_SECONDS) -> None:
        """Connects to nothing yet.

        Raises:
            StorageError: the driver is not installed.
        """
        self.url = url
        self._patience = patience
        try:
            self.engine = _engine(url)
        except ImportError:
            raise StorageError(
                f"The storage {shown(url)} needs a driver that is not installed. "
                f"Install it with: pip install 'automl-rec[postgresql]'."
            ) from None

    def rows(self, query: Select[*tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Reads what a query selects: column -> value."""

        def fetch(connection: Connection) -> list[dict[str, Any]]:
            found = connection.execute(query).mappings().all()
            return [{str(column): value for column, value in row.items()} for row in found]

        return self.read(fetch)

    def read(self, query: Callable[[Connection], T]) -> T:
        """What a transaction that only reads finds; it is run again if the server was away.

        Raises:
            StorageError: the database refused, or stayed away.
        """

        def attempt() -> T:
            with self.reading() as connection:
                return query(connection)

        return self._patiently(attempt, self._patience)

    def write(self, change: Callable[[Connection], T], patience: float | None = None) -> T:
        """What a transaction gives that writes as a whole, or not at all.

        Args:
            change: run again if the server was away, when nobody knows whether it was written: the
                second time must then change nothing.
            patience: seconds that the server may be away; the database's own if None.

        Raises:
            StorageError: the database refused, or stayed away.
        """

        def attempt() -> T:
            with self.writing() as connection:
                return change(connection)

        return self._patiently(attempt, self._patience if patience is None else patience)

    def now(self, connection: Connection) -> float:
        """Seconds since 1970 by the database's clock: the one that all machines share."""
        return float(connection.execute(text(_CLOCKS[self.url.get_backend_name()])).scalar_one())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.faults(), self.engine.connect() as connection:
            yield connection

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

    def _patiently(self, attempt: Callable[[], T], patience: float) -> T:
        """Tries again, ever more rarely, while a fault is one that passes."""
        until, pause = monotonic() + patience, FIRST_PAUSE
        while True:
            try:
                return attempt()
            except StorageError as error:
                if not _passes(error) or monotonic() + pause > until:
                    raise
            # Unevenly, so that many workers do not all come back at once.
            sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)


_CLOCKS = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
}


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


def _passes(error: StorageError) -> bool:
    """Whether a server was away, or two transactions met: the same may succeed a little later."""
    cause = _driver_error(error)
    if cause is None or cause.orig is None or isinstance(cause.orig, SqliteError):
        return False
    state = getattr(cause.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_PASSING)
    # A connection that was never made, or broke, has no state; a server that refuses says FATAL.
    away = cause.connection_invalidated or "connect" in str(cause.orig).lower()
    return away and not any(sign in str(cause.orig) for sign in ("password", "does not exist"))


def _driver_error(error: BaseException) -> DBAPIError | None:
    """The driver's error, found down the chain of causes."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DBAPIError):
        cause = cause.__cause__
    return cause


def _reason(error: BaseException) -> str:
    """The driver's own sentence."""
    cause = _driver_error(error)
    original = cause.orig if cause is not None and cause.orig else error
    lines = str(original).strip().splitlines() or [type(original).__name__]
    return lines[0].rstrip(".")
