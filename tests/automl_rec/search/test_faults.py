"""Bad days: processes killed, stopped and skewed at random, a full disk, a server restarted.

Whatever happens: what was reported finished is there, nothing twice, nothing running for ever, and
the front is that of the database.
"""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import psutil
import pytest
from sqlalchemy import make_url

from automl_rec import export, pareto
from automl_rec.search.study import Study
from automl_rec.storage.records import StoredBudget
from automl_rec.storage.repository import Repository
from automl_rec.storage.url import is_sqlite

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


class Processes:
    """Commands of ours on one study; what they print goes to files, whatever ends them."""

    def __init__(self, folder: Path, url: str, site: Path) -> None:
        self.folder, self.url = folder, url
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)]),
            "OMP_NUM_THREADS": "1",
        }
        self._begun: list[subprocess.Popen[bytes]] = []

    def search(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        return self._begin("search", str(self.folder / "planted.yaml"), options, variables)

    def worker(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        return self._begin("worker", "planted", options, variables)

    def end(self) -> None:
        for process in self._begun:
            for member in _family(process):
                member.kill()
            process.wait(timeout=20)

    def reported(self) -> dict[str, str]:
        """Digest -> state of every trial that was said to be finished."""
        events = self._events("trial_finished")
        return {event["digest"]: event["state"] for event in events}

    def requeued(self) -> list[str]:
        """Why trials were to be run once more."""
        return [event["reason"] for event in self._events("trial_requeued")]

    def await_trials(self, count: int, seconds: float = 90.0) -> None:
        _await(lambda: len(self.reported()) >= count, seconds)

    def joined(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether a process runs trials of the study."""
        with Repository.open(self.url, create=False) as repository:
            workers = repository.study("planted").claims.workers()
            return any(worker.owner.pid == process.pid for worker in workers)

    def claimed(self, process: subprocess.Popen[bytes]) -> set[str]:
        """The uuids of the trials that a process has."""
        with Repository.open(self.url, create=False) as repository:
            claims = repository.study("planted").claims
            mine = {w.number for w in claims.workers() if w.owner.pid == process.pid}
            return {trial.uuid for trial in claims.running() if trial.owner in mine}

    def ended_well(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            status = process.wait(timeout=120)
            assert status == 0, self.errors(process)

    def errors(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"{process.pid}.errors").read_text()

    def _begin(
        self, command: str, what: str, options: tuple[str, ...], variables: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        place = ("--storage", self.url, "--out", str(self.folder / "runs"))
        number = len(self._begun)
        with (
            (self.folder / f"{number}.jsonl").open("wb") as events,
            (self.folder / f"{number}.errors").open("wb") as errors,
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", "automl_rec", command, what, "--json", *place, *options],
                stdout=events,
                stderr=errors,
                env=self._environment | variables,
            )
        (self.folder / f"{number}.errors").rename(self.folder / f"{process.pid}.errors")
        self._begun.append(process)
        return process

    def _events(self, name: str) -> list[dict[str, str]]:
        texts = [path.read_text() for path in self.folder.glob("*.jsonl")]
        # A process killed while it writes leaves half a line.
        lines = [line for text in texts for line in text.splitlines() if line.endswith("}")]
        return [event for line in lines if (event := json.loads(line))["event"] == name]


def _await(condition: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.05)


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def processes(
    space_file: Callable[[str], Path], unruly: Path, url: str, tmp_path: Path
) -> Iterator[Processes]:
    space_file(SPACE.replace("LEASE", "60s"))
    begun = Processes(tmp_path, url, unruly)
    yield begun
    begun.end()


@contextlib.contextmanager
def optuna_study(url: str, name: str) -> Iterator[optuna.Study]:
    """A study as Optuna reads it."""
    storage = optuna.storages.RDBStorage(url)
    yield optuna.load_study(storage=storage, study_name=name)
    storage.remove_session()
    storage.engine.dispose()


def check_study(processes: Processes, name: str = "planted") -> Study:
    """What must hold of every study, whatever happened to its processes."""
    study = Study.open(name, storage=processes.url, out=processes.folder / "runs")
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert len({trial.uuid for trial in trials}) == len(trials)
    assert len({trial.digest for trial in trials}) == len(trials)
    assert processes.reported().items() <= {trial.digest: trial.state for trial in trials}.items()
    with Repository.open(processes.url, create=False) as repository:
        stored = repository.study(name)
        assert stored.claims.running() == []
    with optuna_study(processes.url, name) as theirs:
        mirrored, best = theirs.trials, theirs.best_trials
    assert [t.number for t in mirrored] == [t.number for t in trials]
    assert all(trial.state.is_finished() for trial in mirrored)
    front = {trial.number for trial in study.front()}
    assert front == {t.number for t in pareto.front(trials, study.objectives).trials}
    values = {tuple(trial.values) for trial in best}
    shown = [o.name for o in study.objectives]
    assert {tuple(t.measurements[o].value for o in shown) for t in study.front()} == values
    for trial in trials:
        assert trial.artefact is None or trial.number in front
        if trial.artefact is not None:
            path = study.folder / trial.artefact.path
            assert export.sha256(path) == trial.artefact.sha256
    if is_sqlite(make_url(processes.url)):
        with closing(sqlite3.connect(str(make_url(processes.url).database))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return study


def finish(processes: Processes, more: int = 3) -> Study:
    """Lets the study come to an end in peace."""
    with Repository.open(processes.url, create=False) as repository:
        ran = sum(trial.worker is not None for trial in repository.study("planted").trials())
    processes.ended_well(processes.search("--workers", "2", "--trials", str(ran + more)))
    study = check_study(processes)
    assert sum(trial.worker is not None for trial in study.trials) >= ran + more
    left = [path.name for path in (study.folder / "trainings").iterdir()]
    assert left == []
    return study


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
        family = _family(victims[name])
        whole = draw.random() < 0.6 or len(family) < 2
        family[0 if whole else 1].kill()
        if whole:
            victims[name].wait(timeout=20)
            # What it ran ends with it: nobody else is told what becomes of such a training.
            assert psutil.wait_procs(family, timeout=20)[1] == []
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
        _await(lambda: all(self.uuids(n)[-1:] == ["end"] for n in numbers), seconds)

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
            _await(lambda victim=victim: quick.uuids(victim))  # type: ignore[misc]
            time.sleep(draw.uniform(0.0, 0.05))
            os.kill(victim, signal.SIGKILL)
            numbers[position] = quick.begin()
        _await(lambda: all(quick.uuids(number) for number in numbers))
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
    processes = Processes(tmp_path, postgresql.new_database(), unruly)
    try:
        search = processes.search("--workers", "1", "--trials", "14")
        processes.await_trials(1)
        worker = processes.worker("--workers", "1")
        _await(lambda: processes.joined(worker))
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

    _await(lambda: processes.claimed(worker))
    time.sleep(0.5)
    worker.send_signal(signal.SIGSTOP)
    held = processes.claimed(worker)

    def recorded() -> set[str]:
        with Repository.open(processes.url, create=False) as repository:
            return {trial.uuid for trial in repository.study("planted").trials()}

    # It was stopped between two trials, or somebody else finishes what it had.
    _await(lambda: held <= recorded())
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
