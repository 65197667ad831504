"""Real processes on one study, and what must hold of the study whatever happened to them."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import optuna
import psutil
from sqlalchemy import make_url

from automl_rec import export, pareto
from automl_rec.search.study import Study
from automl_rec.storage.repository import Repository
from automl_rec.storage.url import is_sqlite


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
            for member in family(process):
                member.kill()
            process.wait(timeout=20)

    def reported(self) -> dict[str, str]:
        """Digest -> state of every trial that was said to be finished."""
        events = self._events("trial_finished")
        return {event["digest"]: event["state"] for event in events}

    def requeued(self) -> list[str]:
        """Why trials were to be run once more."""
        return [event["reason"] for event in self._events("trial_requeued")]

    def reports(self, process: subprocess.Popen[bytes]) -> int:
        """How many validations a process has told of, of its own trials."""
        text = (self.folder / f"{self._begun.index(process)}.jsonl").read_text()
        return text.count('{"event": "trial_reported"')

    def await_trials(self, count: int, seconds: float = 90.0) -> None:
        wait_until(lambda: len(self.reported()) >= count, seconds)

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


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.05)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


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


def finish(processes: Processes, *options: str, more: int = 3) -> Study:
    """Lets the study come to an end in peace, by a search with these options."""
    with Repository.open(processes.url, create=False) as repository:
        ran = sum(trial.worker is not None for trial in repository.study("planted").trials())
    search = processes.search("--workers", "2", "--trials", str(ran + more), *options)
    processes.ended_well(search)
    study = check_study(processes)
    assert sum(trial.worker is not None for trial in study.trials) >= ran + more
    left = [path.name for path in (study.folder / "trainings").iterdir()]
    assert left == []
    return study
