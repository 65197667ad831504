"""A server that goes away: what it does to those who use it, and what they say."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from automl_rec.errors import StorageError
from automl_rec.storage.database import Database
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import FinishedTrial, Manifest
from automl_rec.storage.repository import Repository

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.automl_rec.conftest import PostgreSQL

MakeTrial = Callable[..., FinishedTrial]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("backend", ["postgresql"], indirect=True),
]


@pytest.fixture
def server(postgresql: "PostgreSQL") -> "Iterator[PostgreSQL]":
    """The server, which runs again when the test has ended."""
    yield postgresql
    postgresql.start()


def test_a_server_that_is_restarted_is_waited_for(
    server: "PostgreSQL", url: str, manifest: Manifest, make_trial: MakeTrial
) -> None:
    with Repository.open(url) as repository:
        study = repository.create_study(manifest)
        worker = study.claims.join(Owner.current())
        server.stop()
        back = threading.Timer(2.0, server.start)
        back.start()
        began = time.monotonic()
        assert study.record(make_trial()) == 0
        assert time.monotonic() - began >= 1.5
        back.join()
        assert study.claims.heartbeat(worker, {}) == frozenset()
        # Connections of the pool that broke while nobody used them are replaced unnoticed.
        server.stop()
        server.start()
        assert [trial.number for trial in study.trials()] == [0]


def test_a_server_that_stays_away_is_an_error_without_credentials(
    server: "PostgreSQL", url: str
) -> None:
    named = make_url(url).set(password="secret-word")
    database = Database(named, patience=1.0)
    assert database.read(database.now) > 1.7e9
    server.stop()
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"Check that the server runs") as refused:
        database.read(database.now)
    assert 0.3 < time.monotonic() - began < 5
    assert "secret-word" not in str(refused.value)
    assert "postgres@" not in str(refused.value)
    database.close()


@pytest.mark.usefixtures("server")
def test_what_does_not_pass_is_told_at_once(url: str) -> None:
    absent = make_url(url).set(database="nowhere")
    began = time.monotonic()
    with pytest.raises(StorageError, match=r'"nowhere" does not exist\. Create it'):
        Repository.open(absent.render_as_string(hide_password=False))
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("server")
def test_two_transactions_that_block_each_other_are_both_done(url: str) -> None:
    first, second = Database(make_url(url)), Database(make_url(url))
    first.write(lambda c: c.exec_driver_sql("CREATE TABLE t (k int PRIMARY KEY, n int)"))
    first.write(lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1, 0), (2, 0)"))
    meet = threading.Barrier(2)
    tries: list[int] = []

    def add(database: Database, order: tuple[int, int]) -> None:
        def change(connection: "Connection") -> None:
            tries.append(order[0])
            connection.exec_driver_sql(f"UPDATE t SET n = n + 1 WHERE k = {order[0]}")
            if len(tries) <= 2:
                meet.wait(timeout=10)
            connection.exec_driver_sql(f"UPDATE t SET n = n + 1 WHERE k = {order[1]}")

        database.write(change)

    threads = [
        threading.Thread(target=add, args=pair) for pair in ((first, (1, 2)), (second, (2, 1)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = first.read(lambda c: c.exec_driver_sql("SELECT n FROM t ORDER BY k").scalars().all())
    assert list(found) == [2, 2]
    assert len(tries) == 3
    first.close()
    second.close()
