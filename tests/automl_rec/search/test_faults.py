"""Bad days: processes killed, stopped and skewed at random, a full disk, a server restarted.

Whatever happens: what was reported finished is there, nothing twice, nothing running for ever, and
the front is that of the database.
"""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from automl_rec.storage.repository import Repository
from tests.automl_rec.search.faults import (
    Processes,
    check_study,
    family,
    finish,
    optuna_study,
    wait_until,
)

if TYPE_CHECKING:
    from tests.automl_rec.conftest import PostgreSQL

pytestmark = pytest.mark.slow
QUICK = Path(__file__).with_name("quick_trials.py")
BACKENDS = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
SPACE = """
data: {path: events.csv, split: {kind: random, validation: 0.2, test: 0.2}}
objectives: {ndcg@10: maximize, bytes: minimize}
search: {sampler: random, lease: LEASE}
model: {slow: {level: {int: [0, 9]}, batch_size: [512, 1024], epochs: [2, 3, 4]}}
"""


@pytest.fixture
def processes(
    space_file: Callable[[str], Path], unruly: Path, url: str, tmp_path: Path
) -> Iterator[Processes]:
    space_file(SPACE.replace("LEASE", "60s"))
    begun = Processes(tmp_path, url, unruly)
    yield begun
    begun.end()


@BACKENDS
def test_kills_at_random_times_lose_nothing_and_leave_nothing(processes: Processes) -> None:
    """Ten rounds a database: a search, a worker beside it, or one of their worker processes."""
    draw = random.Random(6)
    search = processes.search("--workers", "1")
    processes.await_trials(1)
    worker = processes.worker("--workers", "1")
    for round_number in range(10):
        time.sleep(draw.uniform(0.0, 3.0))
        victims = {"search": search, "worker": worker}
        name = draw.choice(list(victims))
        members = family(victims[name])
        whole = draw.random() < 0.6 or len(members) < 2
        members[0 if whole else 1].kill()
        if whole:
            victims[name].wait(timeout=20)
            # What it ran ends with it: nobody else is told what becomes of such a training.
            assert psutil.wait_procs(members, timeout=20)[1] == []
            again = processes.search if name == "search" else processes.worker
            process = again("--workers", "1")
            search, worker = (process, worker) if name == "search" else (search, process)
        processes.await_trials(2 + round_number)
        assert search.poll() is None
        assert worker.poll() is None
    for process in (worker, search):
        process.send_signal(signal.SIGTERM)
    for process in (worker, search):
        # One that has only just begun has joined nothing yet, and simply ends.
        assert process.wait(timeout=60) in {0, -signal.SIGTERM}
    study = finish(processes)
    assert len(study.trials) >= 12
    reasons = {trial.reason for trial in study.trials if trial.state != "complete"}
    assert reasons <= {"Its worker was killed by SIGKILL."}


@BACKENDS
@pytest.mark.parametrize("count", [8])
def test_many_processes_on_one_database_lose_and_double_nothing(
    backend: str, url: str, tmp_path: Path, count: int
) -> None:
    """8 processes on a SQLite file, 16 on PostgreSQL, two trials at once each, 500 in all."""
    count = count if backend == "sqlite" else 2 * count
    # Tables are made by the first; the others come when it has begun.
    begin = [sys.executable, str(QUICK), url, str(tmp_path), "500", "0.02"]
    begun = [subprocess.Popen(begin, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    printed = [process.communicate(timeout=400)[0].split() for process in begun]
    assert [process.returncode for process in begun] == [0] * count
    with Repository.open(url, create=False) as repository:
        stored = repository.study("quick")
        trials, running = stored.trials(), stored.claims.running()
    uuids = list(itertools.chain.from_iterable(printed))
    assert len(uuids) == len(set(uuids)) == 500
    assert [trial.number for trial in trials] == list(range(500))
    assert {trial.uuid for trial in trials} == set(uuids)
    assert len({trial.digest for trial in trials}) == 500
    assert running == []
    with optuna_study(url, "quick") as theirs:
        assert [trial.number for trial in theirs.trials] == list(range(500))
    assert sum(len(own) > 0 for own in printed) >= count // 2


@BACKENDS
def test_quick_processes_killed_again_and_again_double_nothing(url: str, tmp_path: Path) -> None:
    """Twenty kills inside transactions, with three processes on one study."""
    draw, reported = random.Random(7), list[str]()
    command = [sys.executable, str(QUICK), url, str(tmp_path), "400", "0.005"]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    begun = [begin() for _ in range(3)]
    for _ in range(10):
        position = draw.randrange(3)
        victim = begun[position]
        assert victim.stdout is not None
        reported.extend(itertools.islice((line.strip() for line in victim.stdout), 2))
        time.sleep(draw.uniform(0.0, 0.05))
        victim.kill()
        reported.extend(victim.communicate()[0].split())
        begun[position] = begin()
    for process in begun:
        reported.extend(process.communicate(timeout=400)[0].split())
        assert process.returncode == 0
    with Repository.open(url, create=False) as repository:
        stored = repository.study("quick")
        assert stored.claims.running() == []
        trials = stored.trials()
    assert len(reported) == len(set(reported))
    assert set(reported) <= {trial.uuid for trial in trials}
    assert [trial.number for trial in trials] == list(range(400))
    assert len({trial.digest for trial in trials}) == 400


def test_a_server_restarted_in_the_middle_is_waited_for(
    postgresql: "PostgreSQL",
    space_file: Callable[[str], Path],
    unruly: Path,
    tmp_path: Path,
) -> None:
    space_file(SPACE.replace("LEASE", "60s"))
    processes = Processes(tmp_path, postgresql.new_database(), unruly)
    try:
        search = processes.search("--workers", "1", "--trials", "14")
        processes.await_trials(1)
        worker = processes.worker("--workers", "1")
        wait_until(lambda: processes.joined(worker))
        for _ in range(2):
            postgresql.stop()
            time.sleep(2.0)
            postgresql.start()
            time.sleep(1.0)
        processes.ended_well(search, worker)
        study = check_study(processes)
        assert [trial.state for trial in study.trials] == ["complete"] * 14
        assert processes.requeued() == []
    finally:
        postgresql.start()
        processes.end()


@BACKENDS
def test_a_worker_stopped_for_longer_than_its_lease_doubles_nothing_when_it_returns(
    processes: Processes, space_file: Callable[[str], Path]
) -> None:
    space_file(SPACE.replace("LEASE", "3s"))
    search = processes.search("--workers", "1", "--trials", "1000")
    processes.await_trials(1)
    worker = processes.worker("--workers", "1")

    wait_until(lambda: processes.claimed(worker))
    time.sleep(0.5)
    worker.send_signal(signal.SIGSTOP)
    held = processes.claimed(worker)

    def recorded() -> set[str]:
        with Repository.open(processes.url, create=False) as repository:
            return {trial.uuid for trial in repository.study("planted").trials()}

    # It was stopped between two trials, or somebody else finishes what it had.
    wait_until(lambda: held <= recorded())
    time.sleep(0.2)
    worker.send_signal(signal.SIGCONT)
    processes.await_trials(len(processes.reported()) + 3)
    assert worker.poll() is None
    for process in (worker, search):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    study = finish(processes)
    assert all(trial.state == "complete" for trial in study.trials)
    assert len(held) <= 1
    if held:
        (uuid,) = held
        (trial,) = (trial for trial in study.trials if trial.uuid == uuid)
        assert f":{search.pid}/" in (trial.worker or "")


SKEWED = """
import time
_now = time.time
time.time = lambda: _now() + 7200.0
"""


def test_clocks_that_differ_by_hours_take_no_trial_from_anybody(
    processes: Processes, space_file: Callable[[str], Path], tmp_path: Path, unruly: Path
) -> None:
    space_file(SPACE.replace("LEASE", "5s"))
    (tmp_path / "skewed").mkdir()
    (tmp_path / "skewed" / "sitecustomize.py").write_text(SKEWED)
    skewed = os.pathsep.join(map(str, [tmp_path / "skewed", unruly, *filter(None, sys.path)]))
    began = time.time()
    search = processes.search("--workers", "1", "--trials", "10")
    processes.await_trials(1)
    worker = processes.worker("--workers", "1", PYTHONPATH=skewed)
    processes.ended_well(search, worker)
    ended = time.time()
    study = check_study(processes)
    assert processes.requeued() == []
    assert {trial.worker.partition("/")[0] for trial in study.trials if trial.worker} == {
        f"{os.uname().nodename}:{process.pid}" for process in (search, worker)
    }
    for trial in study.trials:
        assert began <= trial.started <= trial.finished <= ended


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"a tmpfs may not be mounted here: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_ends_the_search_in_words_and_the_study_goes_on_when_there_is_room(
    space_file: Callable[[str], Path], unruly: Path, tmp_path: Path
) -> None:
    space_file(SPACE.replace("LEASE", "60s"))
    with small_disk(tmp_path / "runs", 8):
        processes = Processes(tmp_path, f"sqlite:///{tmp_path}/runs/study.db", unruly)
        try:
            search = processes.search("--workers", "2")
            processes.await_trials(2)
            filler = tmp_path / "runs" / "filler"
            fill(filler)
            assert search.wait(timeout=120) == 1
            errors = processes.errors(search)
            assert "Traceback" not in errors
            assert "Free" in errors.splitlines()[-1]
            filler.unlink()
            finish(processes)
        finally:
            processes.end()
