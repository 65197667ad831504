"""What a trial costs beside its training, with 1, 4 and 16 processes on one study.

Ours is the real loop with an engine whose trials end at once. The bare loop asks Optuna, draws the
same space and tells, on Optuna's own storage. Both use the random sampler. Processes are forked
after all imports, open the database, read the study, and wait for each other; time runs from there
until the last trial is recorded. What the first processes find is a study of 40 trials.
"""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from sqlalchemy import event

from automl_rec.errors import Infeasible
from automl_rec.search.events import StudyStarted, TrialFinished
from automl_rec.search.samplers import make_sampler
from automl_rec.search.suggest import suggest
from automl_rec.storage.records import StoredBudget
from automl_rec.storage.repository import Repository
from studies.results import Results
from studies.scale.databases import Databases, databases
from studies.scale.instant import NAME, Setting, measured

BEFORE = 40
TRIALS = {1: 64, 4: 64, 16: 128}
"""Processes -> trials that all of them run together."""
REPEATS = 3
FORK = multiprocessing.get_context("fork")
Times = tuple[float, float]
Wait = Callable[[], object]


def clock() -> Times:
    return time.perf_counter(), time.process_time()


def prepare_ours(setting: Setting, url: str, folder: Path) -> None:
    with Repository.open(url) as repository:
        setting.create(repository)
        setting.session(repository, folder, BEFORE).run()


def run_ours(
    setting: Setting, url: str, folder: Path, trials: int, wait: Callable[[], object]
) -> list[Times]:
    own = f"{socket.gethostname()}:{os.getpid()}/"
    times: list[Times] = []

    def hear(heard: Any) -> None:
        if isinstance(heard, StudyStarted):
            wait()
            times.append(clock())
        elif isinstance(heard, TrialFinished) and (heard.trial.worker or "").startswith(own):
            times.append(clock())

    with Repository.open(url) as repository:
        repository.study(NAME).set_budget(StoredBudget(trials=trials))
        setting.session(repository, folder, trials, "worker", (hear,)).run()
    return times


def bare_storage(url: str) -> optuna.storages.RDBStorage:
    if not url.startswith("sqlite"):
        return optuna.storages.RDBStorage(url)
    kwargs = {"connect_args": {"timeout": 60}}
    storage = optuna.storages.RDBStorage(url, engine_kwargs=kwargs)

    @event.listens_for(storage.engine, "connect")
    def quicken(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()
    return storage


def bare_trials(setting: Setting, study: optuna.Study, trials: int) -> list[Times]:
    """Runs trials; one that the database refuses is begun again."""
    times: list[Times] = []
    while len(times) < trials:
        with suppress(optuna.exceptions.StorageInternalError):
            trial = study.ask()
            try:
                digest = suggest(setting.space, trial).digest
            except Infeasible:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                continue
            values = measured(digest)
            study.tell(trial, [values[objective.name] for objective in setting.objectives])
            times.append(clock())
    return times


def prepare_bare(setting: Setting, url: str, _folder: Path) -> None:
    storage = bare_storage(url)
    directions = [objective.direction for objective in setting.objectives]
    study = optuna.create_study(
        storage=storage, study_name=NAME, directions=directions, sampler=make_sampler("random", 0)
    )
    bare_trials(setting, study, BEFORE)
    storage.engine.dispose()


def run_bare(
    setting: Setting, url: str, _folder: Path, trials: int, wait: Callable[[], object]
) -> list[Times]:
    sampler = make_sampler("random", os.getpid())
    study = optuna.load_study(storage=bare_storage(url), study_name=NAME, sampler=sampler)
    wait()
    return [clock(), *bare_trials(setting, study, trials)]


SIDES = {"ours": (prepare_ours, run_ours), "bare": (prepare_bare, run_bare)}


def measure(
    side: str, setting: Setting, made: Databases, kind: str, processes: int
) -> dict[str, float]:
    """Milliseconds a trial: of the wall in all, of the processors here and of the server."""
    prepare, run = SIDES[side]
    url, trials = made.new(kind), TRIALS[processes]
    # Ours share a budget; of the bare ones each has its part.
    goal = BEFORE + trials if side == "ours" else trials // processes
    with TemporaryDirectory() as folder:
        prepare(setting, url, Path(folder))
        barrier, results = FORK.Barrier(processes), FORK.SimpleQueue()

        def work() -> None:
            results.put(run(setting, url, Path(folder), goal, barrier.wait))

        children = [FORK.Process(target=work) for _ in range(processes)]
        server = made.processor_seconds()
        for child in children:
            child.start()
        found = [results.get() for _ in children]
        for child in children:
            child.join()
        server = made.processor_seconds() - server
    ran = sum(len(times) - 1 for times in found)
    began, ended = min(times[0][0] for times in found), max(times[-1][0] for times in found)
    spent = sum(times[-1][1] - times[0][1] for times in found)
    return {
        "trials": ran,
        "wall": 1000 * (ended - began) / ran,
        "processor": 1000 * spent / ran,
        "server": 1000 * server / ran if kind == "postgresql" else 0.0,
    }


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    setting, results = Setting.of("random"), Results.of("scale", "overhead")
    with databases() as made:
        for repeat in range(REPEATS):
            for kind in ("sqlite", "postgresql"):
                for processes in TRIALS:
                    for side in SIDES:
                        key = {
                            "database": kind,
                            "processes": processes,
                            "side": side,
                            "repeat": repeat,
                        }
                        if not results.has(**key):
                            found = measure(side, setting, made, kind, processes)
                            results.add_with_load(**key, **found)


if __name__ == "__main__":
    main()
