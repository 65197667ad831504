"""What was reported as recorded stays so, whatever ends the process."""

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from sqlalchemy import event

from automl_rec.errors import StorageError
from automl_rec.storage.records import FinishedTrial, Manifest
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy

MakeTrial = Callable[..., FinishedTrial]

RECORDING = """
import itertools, sys
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import CurvePoint, FinishedTrial, Manifest, RunningTrial
from automl_rec.storage.repository import Repository

url, name, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
objectives = (Objective("ndcg@10", "maximize", ""), Objective("bytes", "minimize", "B"))
manifest = Manifest("ratings", "", "s", "d", {}, objectives, {}, {}, 0, 0.0)
curve = [CurvePoint(epoch, 0.1, None, float(epoch)) for epoch in range(20)]
with Repository.open(url) as repository:
    study = repository.create_study(manifest)
    worker = study.claims.join(Owner.current(), "worker")
    for index in range(limit):
        uuid = f"{name}-{index}"
        configuration = {"model": {"ease": {}}}
        claimed = study.claims.claim(RunningTrial(
            uuid=uuid, digest=uuid, configuration=configuration, seed=0, origin="sampler",
            started=0.0,
        ), worker)
        assert claimed == "taken"
        study.record(FinishedTrial(
            uuid=uuid, digest=uuid, configuration=configuration, state="complete", seed=0,
            started=0.0, finished=1.0, origin="sampler", worker=name,
            measurements={"ndcg@10": Measurement(0.1), "bytes": Measurement(2.0)},
        ), worker=worker, curve=curve)
        print(uuid, flush=True)
"""

DEADLY = """
import os, signal

class Deadly(list):
    # Its length is asked for when Optuna's side is written and ours is not.
    def __len__(self):
        os.kill(os.getpid(), signal.SIGKILL)

deadly = Deadly(curve)
"""


def recorder(url: str, name: str, limit: int, script: str = RECORDING) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, url, name, str(limit)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from (line.strip() for line in process.stdout)


def check_both_sides_agree(url: str, path: Path, reported: set[str]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Repository.open(url, create=False) as repository:
        study = repository.study("ratings")
        trials, curves, running = study.trials(), study.curves(), study.claims.running()
    uuids = [trial.uuid for trial in trials]
    assert len(set(uuids)) == len(uuids)
    assert reported <= set(uuids)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert all(len(curves[trial.number]) == 20 for trial in trials)
    assert not set(uuids) & {trial.uuid for trial in running}
    mirrored = optuna.load_study(storage=url, study_name="ratings").trials
    assert [(t.number, t.user_attrs["digest"]) for t in mirrored] == list(enumerate(uuids))
    assert all(trial.values == [0.1, 2.0] for trial in mirrored)


@pytest.mark.slow
def test_a_killed_process_loses_no_reported_trial(url: str, tmp_path: Path) -> None:
    reported: set[str] = set()
    for attempt in range(4):
        process = recorder(url, f"run{attempt}", 100_000)
        reported.update(itertools.islice(lines(process), 1 + 7 * attempt))
        # Somewhere inside the next trial, each time elsewhere.
        time.sleep(0.0013 * attempt)
        process.send_signal(signal.SIGKILL)
        reported.update(lines(process))
        assert process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
        check_both_sides_agree(url, tmp_path / "study.db", reported)
    assert len(reported) >= 46


@pytest.mark.slow
def test_a_process_killed_between_the_two_sides_of_a_trial_leaves_neither(
    url: str, tmp_path: Path
) -> None:
    killing = RECORDING.replace("curve=curve)", "curve=deadly)").replace(
        "with Repository", DEADLY + "with Repository"
    )
    reported = set(recorder(url, "whole", 3).communicate(timeout=60)[0].split())
    process = recorder(url, "torn", 1, killing)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == -signal.SIGKILL
    check_both_sides_agree(url, tmp_path / "study.db", reported)
    with Repository.open(url) as repository:
        study = repository.study("ratings")
        (left,) = study.claims.running()
        assert left.uuid == "torn-0"
        owners = {worker.number: worker.owner for worker in study.claims.workers()}
        assert left.owner is not None
        assert owners[left.owner].dead()
        assert len(study.trials()) == 3


@pytest.mark.slow
def test_two_processes_make_one_database_and_write_it_together(url: str, tmp_path: Path) -> None:
    processes = [recorder(url, name, 60) for name in ("one", "two")]
    reported = set()
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        reported.update(output.split())
    assert len(reported) == 120
    check_both_sides_agree(url, tmp_path / "study.db", reported)


def test_a_full_disk_is_an_error_that_spoils_nothing(
    repository: Repository, manifest: Manifest, make_trial: MakeTrial, url: str
) -> None:
    study = repository.create_study(manifest)
    study.record(make_trial())
    engine = repository._database.engine
    engine.dispose()
    event.listen(engine, "connect", _hold_size)
    recorded, message = _fill(study, make_trial)
    assert "disk is full. Free space and run the same command again" in message
    with Repository.open(url) as again:
        found = again.study("ratings")
        assert [trial.number for trial in found.trials()] == list(range(recorded))
        assert found.record(make_trial()) == recorded
    assert len(optuna.load_study(storage=url, study_name="ratings").trials) == recorded + 1


def _hold_size(connection: sqlite3.Connection, _record: object) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")


def _fill(study: StoredStudy, make_trial: MakeTrial) -> tuple[int, str]:
    """Records until the disk is full; gives the number of trials in all, and the message."""
    for number in range(1, 1000):
        try:
            study.record(make_trial(reason="x" * 500))
        except StorageError as error:
            return number, str(error)
    pytest.fail("the disk never was full")


def test_a_database_held_by_another_program_is_an_error_in_words(
    repository: Repository, manifest: Manifest, make_trial: MakeTrial, tmp_path: Path
) -> None:
    study = repository.create_study(manifest)
    engine = repository._database.engine
    engine.dispose()
    event.listen(engine, "connect", _lose_patience)
    with closing(sqlite3.connect(tmp_path / "study.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"locked\. Another process holds it"):
            study.record(make_trial())
        assert study.trials() == []
        other.rollback()
    assert study.record(make_trial()) == 0


def _lose_patience(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout = 50")
