"""Optuna Dashboard shows a study of ours as it is."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import psutil
import pytest

from automl_rec.errors import StorageError
from automl_rec.storage.dashboard import serve
from automl_rec.storage.mirror import Place
from automl_rec.storage.records import FinishedTrial
from automl_rec.storage.stored_study import StoredStudy

MakeTrial = Callable[..., FinishedTrial]
pytestmark = [pytest.mark.dashboard, pytest.mark.slow]


def ask(application: Callable[..., Any], path: str) -> Any:
    statuses: list[str] = []

    def start(status: str, *_rest: object) -> None:
        statuses.append(status)

    environment: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environment)
    body = b"".join(application(environment, start))
    assert statuses == ["200 OK"], body
    return json.loads(body)


@pytest.mark.usefixtures("study")
def test_a_port_that_cannot_be_listened_on_is_an_error_with_a_remedy(
    url: str,
) -> None:
    pytest.importorskip("optuna_dashboard")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for port in (taken.getsockname()[1], 99_999):
            with pytest.raises(StorageError, match=f"cannot listen on 127.0.0.1:{port}: .*--port"):
                serve(url, "127.0.0.1", port)


def test_the_dashboard_names_objectives_and_knows_what_is_infeasible(
    study: StoredStudy, make_trial: MakeTrial, place: Place, url: str
) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    study.record(make_trial(), place=place)
    study.record(make_trial(violations={"bytes": 4.0}, reason="too large"), place=place)
    application = dashboard.wsgi(url)
    (summary,) = ask(application, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "ratings"
    shown = ask(application, f"/api/studies/{summary['study_id']}")
    assert shown["objective_names"] == ["ndcg@10", "bytes", "latency_ms"]
    assert [trial["constraints"] for trial in shown["trials"]] == [[-10.0], [4.0]]
    assert [trial["values"] for trial in shown["trials"]] == [[0.25, 90.0, 0.5]] * 2
    columns = {attribute["key"]: attribute["sortable"] for attribute in shown["union_user_attrs"]}
    assert columns["ndcg@10 standard error"]
    assert columns["model"] is False


@pytest.mark.usefixtures("study")
def test_the_dashboard_listens_on_loopback_alone_unless_told_otherwise(
    url: str, tmp_path: Path
) -> None:
    pytest.importorskip("optuna_dashboard")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("automl-rec"))
    asked = [program, "dashboard", "ratings", "--storage", url, "--port", str(port)]
    with subprocess.Popen(
        asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as server:
        try:
            assert listening(psutil.Process(server.pid)) == {("127.0.0.1", port)}
        finally:
            server.terminate()


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """The addresses a process listens on, as soon as there are any."""
    for _ in range(600):
        open_ = process.net_connections("inet")
        found = {(c.laddr.ip, c.laddr.port) for c in open_ if c.status == psutil.CONN_LISTEN}
        if found:
            return found
        assert process.status() != psutil.STATUS_ZOMBIE
        time.sleep(0.1)
    raise AssertionError("it never listened")
