"""Bad days: processes killed, stopped and skewed at random, a full disk, a server restarted.

Whatever happens: what was reported finished is there, nothing twice, nothing running for ever, and
the front is that of the database.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import make_url

from automl_rec.storage.records import StoredBudget
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
        whole = draw.random() < 0.6
        if not whole:
            # Ended while it still begins, again and again, its search would give up, and rightly.
            known, victim = processes.reports(victims[name]), victims[name]
            wait_until(lambda victim=victim, known=known: processes.reports(victim) > known)  # type: ignore[misc]
        members = family(victims[name])
        members[0 if whole else 1].kill()
        if whole:
            victims[name].wait(timeout=20)
            # What it ran ends with it: nobody else is told what becomes of such a training.
            assert psutil.wait_procs(members, timeout=20)[1] == []
            again = processes.search if name == "search" else processes.worker
            process = again("--workers", "1")
            search, worker = (process, worker) if name == "search" else (search, process)
        processes.await_trials(2 + round_number)
        assert search.poll() is None, processes.errors(search)
        assert worker.poll() is None, processes.errors(worker)
    for process in (worker, search):
        process.send_signal(signal.SIGTERM)
    for process in (worker, search):
        # One that has only just begun has joined nothing yet, and simply ends.
        assert process.wait(timeout=60) in {0, -signal.SIGTERM}
    study = finish(processes)
    assert len(study.trials) >= 12
    reasons = {trial.reason for trial in study.trials if trial.state != "complete"}
    assert reasons <= {"Its worker was killed by SIGKILL."}


class Quick:
    """Processes that run quick trials of one study."""

    def __init__(self, url: str, folder: Path, trials: int, seconds: float) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, str(QUICK), url, str(folder), str(trials), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self) -> int:
        """Begins one more; gives its number."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write("\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def uuids(self, number: int) -> list[str]:
        """What a process has recorded so far."""
        path = self._folder / f"{number}.uuids"
        return path.read_text().splitlines() if path.exists() else []

    def await_end(self, numbers: Collection[int], seconds: float = 240.0) -> None:
        """Waits until they have come to their end."""
        wait_until(lambda: all(self.uuids(n)[-1:] == ["end"] for n in numbers), seconds)

    def recorded(self) -> list[str]:
        """What all have recorded, those that were killed too."""
        texts = [path.read_text() for path in self._folder.glob("*.uuids")]
        return [line for text in texts for line in text.split() if line != "end"]

    def close(self) -> None:
        for child in psutil.Process(self._server.pid).children():
            child.kill()
        self._server.communicate()


@BACKENDS
def test_many_processes_on_one_database_lose_and_double_nothing(
    backend: str, url: str, tmp_path: Path
) -> None:
    """8 processes on a SQLite file, 16 on PostgreSQL, two trials at once each, 500 in all."""
    count = {"sqlite": 8, "postgresql": 16}[backend]
    with closing(Quick(url, tmp_path, 500, 0.02)) as quick:
        numbers = [quick.begin() for _ in range(count)]
        quick.await_end(numbers)
    uuids = quick.recorded()
    with Repository.open(url, create=False) as repository:
        stored = repository.study("quick")
        trials, running = stored.trials(), stored.claims.running()
    assert len(uuids) == len(set(uuids)) == 500
    assert [trial.number for trial in trials] == list(range(500))
    assert {trial.uuid for trial in trials} == set(uuids)
    assert len({trial.digest for trial in trials}) == 500
    assert running == []
    with optuna_study(url, "quick") as theirs:
        assert [trial.number for trial in theirs.trials] == list(range(500))
    assert sum(len(quick.uuids(number)) > 1 for number in numbers) >= count // 2


@BACKENDS
def test_quick_processes_killed_again_and_again_double_nothing(url: str, tmp_path: Path) -> None:
    """Twenty kills a database, most of them inside a transaction, of three processes."""
    draw = random.Random(7)
    with (
        closing(Quick(url, tmp_path, 1_000_000, 0.01)) as quick,
        Repository.open(url) as repository,
    ):
        numbers = [quick.begin() for _ in range(3)]
        for _ in range(20):
            position = draw.randrange(3)
            victim = numbers[position]
            wait_until(lambda victim=victim: quick.uuids(victim))  # type: ignore[misc]
            time.sleep(draw.uniform(0.0, 0.05))
            os.kill(victim, signal.SIGKILL)
            numbers[position] = quick.begin()
        wait_until(lambda: all(quick.uuids(number) for number in numbers))
        stored = repository.study("quick")
        count = len(stored.trials()) + 30
        stored.set_budget(StoredBudget(trials=count))
        quick.await_end(numbers)
        trials, running = stored.trials(), stored.claims.running()
    recorded = quick.recorded()
    assert running == []
    assert len(recorded) == len(set(recorded)) >= 20
    assert set(recorded) <= {trial.uuid for trial in trials}
    # What ran when the budget was said counts in it, or comes on top.
    assert count <= len(trials)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert len({trial.digest for trial in trials}) == len(trials)


def test_a_server_restarted_in_the_middle_is_waited_for(
    postgresql: "PostgreSQL",
    space_file: Callable[[str], Path],
    unruly: Path,
    tmp_path: Path,
) -> None:
    space_file(SPACE.replace("LEASE", "60s"))
    # Any password will do here; none may be shown or stored.
    named = make_url(postgresql.new_database()).set(password="secret-word")
    processes = Processes(tmp_path, named.render_as_string(hide_password=False), unruly)
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
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(written) > 10
        assert [path for path in written if b"secret-word" in path.read_bytes()] == []
        assert "secret-word" not in repr(study)
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
