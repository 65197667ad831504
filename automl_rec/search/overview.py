"""What stands in a database: its studies, and the processes that run their trials."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from automl_rec.storage.records import State, StoredBudget, Worker
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy
from automl_rec.storage.url import default_url

ProcessState: TypeAlias = Literal["working", "idle", "lost", "left"]


@dataclass(frozen=True, slots=True)
class Process:
    """A process that joined a study.

    Attributes:
        state: ``"working"`` has trials, ``"idle"`` none; ``"lost"`` ended or fell silent without
            a word; ``"left"`` said that it ends.
        trials: how many it has.
        silent_seconds: since it was last heard of.
    """

    worker: Worker
    state: ProcessState
    trials: int
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class Overview:
    """A study at a glance.

    Attributes:
        counts: recorded trials by state.
        derived: of these, those that do not count in the budget.
        running: trials that a process has.
        waiting: trials that were begun and wait for a process.
    """

    name: str
    counts: Mapping[State, int]
    derived: int
    running: int
    waiting: int
    budget: StoredBudget
    processes: tuple[Process, ...]


def overviews(*, storage: str | None, out: Path) -> list[Overview]:
    """Every study of a database, or of the folders under one.

    Args:
        storage: database URL; the SQLite files in the folders under ``out`` if None.
        out: folder that holds the folders of studies.

    Raises:
        StorageError: a database cannot be read.
    """
    folders = sorted(path.parent for path in out.glob("*/study.db"))
    urls = [default_url(out, folder.name) for folder in folders] if storage is None else [storage]
    found = []
    for url in urls:
        with Repository.open(url, create=False) as repository:
            found += [_overview(repository.study(m.name)) for m in repository.studies()]
    return found


def _overview(study: StoredStudy) -> Overview:
    running, now = study.claims.running(), study.now()
    owners = Counter(trial.owner for trial in running)
    processes = [_process(w, owners[w.number], now) for w in study.claims.workers()]
    waiting = owners[None]
    name, counts, budget = study.manifest.name, study.counts(), study.budget()
    begun = len(running) - waiting
    return Overview(name, counts, study.derived(), begun, waiting, budget, tuple(processes))


def _process(worker: Worker, trials: int, now: float) -> Process:
    state: ProcessState = "working" if trials else "idle"
    if worker.left is not None:
        state = "left"
    elif worker.gone(now):
        state = "lost"
    return Process(worker, state, trials, max(0.0, now - worker.heartbeat))
