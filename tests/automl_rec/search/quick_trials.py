"""A process that runs trials of a study as `automl-rec worker` does, but trains nothing.

Everything is real, the loop, the claims, the database, but for the engine: its trials end a moment
after they began. ``python quick_trials.py URL FOLDER TRIALS SECONDS`` begins such a process for
every line that it reads, so that imports are paid for once, and prints its number; the process
writes the uuid of every trial that it recorded to ``FOLDER/NUMBER.uuids``, and at last ``end``.
"""

import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Component, Float, Integer, Interval
from automl_rec.price import Price
from automl_rec.registry import Plugin, Registry
from automl_rec.search.engine import Event, Finished, Job, Setup
from automl_rec.search.events import StudyEvent, TrialFinished
from automl_rec.search.pricing import Pricing
from automl_rec.search.session import Session
from automl_rec.space.checker import check
from automl_rec.space.configuration import Configuration
from automl_rec.storage.records import Manifest, StoredBudget
from automl_rec.storage.repository import Repository

NAME = "quick"
OBJECTIVES = (
    Objective("ndcg@10", "maximize", ""),
    Objective("bytes", "minimize", "B", priced=True),
)
TOWER = Component(
    kind="model",
    name="tower",
    summary="s",
    source="s",
    implementation="nowhere:Nothing",
    hyperparameters={"width": Integer(1, 64, 16), "rate": Float(1e-3, 1.0, 0.1, log=True)},
)
SPACE = """
data: {source: movielens-small}
objectives: [ndcg@10, bytes]
search: {sampler: random, lease: 5s}
model: tower
"""


class Quick:
    """Ends a job so many seconds after it began, two at once."""

    workers = 2

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: list[tuple[float, Job]] = []

    def open(self, setup: Setup) -> None:
        """Nothing has to be known."""

    def start(self, job: Job) -> str:
        self._ends.append((time.monotonic() + random.uniform(0, 2 * self._seconds), job))
        return "quick"

    def wait(self, seconds: float) -> list[Event]:
        until = min([end for end, _ in self._ends], default=time.monotonic() + seconds)
        time.sleep(max(0.0, min(seconds, until - time.monotonic())))
        now = time.monotonic()
        done = [job for end, job in self._ends if end <= now]
        self._ends = [(end, job) for end, job in self._ends if end > now]
        return [_finished(job) for job in done]

    def answer(self, job: Job, *, proceed: bool) -> None:
        raise AssertionError("quick trials report nothing")

    def cancel(self, job: Job) -> None:
        self._ends = [(end, other) for end, other in self._ends if other != job]

    def close(self) -> None:
        self._ends = []


def _finished(job: Job) -> Finished:
    values = job.configuration["model"]["tower"]
    measured = {"ndcg@10": (values["rate"], 0.0), "bytes": (float(values["width"]), None)}
    return Finished(job, "quick", measured, 0.0, None)


def _price(configuration: Configuration) -> Price:
    size = float(configuration.model.hyperparameters["width"])
    whole = Interval(size, size)
    return Price(whole, whole, Interval(0, 0), whole, whole, whole)


def manifest() -> Manifest:
    """What the study of quick trials is made from."""
    return Manifest(NAME, SPACE, "s", "d", {}, OBJECTIVES, {}, {}, 0, 0.0)


def run(url: str, folder: Path, trials: int, seconds: float) -> None:
    """Runs quick trials until the study has as many as it may."""
    registry = Registry([Plugin("made-up", "acme", "1.0", components=(TOWER,))])
    own = f"{socket.gethostname()}:{os.getpid()}/"
    with (
        Repository.open(url) as repository,
        (folder / f"{os.getpid()}.uuids").open("w", buffering=1) as uuids,
    ):

        def say(event: StudyEvent) -> None:
            if isinstance(event, TrialFinished) and (event.trial.worker or "").startswith(own):
                uuids.write(f"{event.trial.uuid}\n")

        stored = repository.create_study(manifest())
        stored.set_budget(StoredBudget(trials=trials))
        Session(
            space=check(SPACE, folder / "space.yaml", registry),
            objectives=OBJECTIVES,
            registry=registry,
            data=cast("Any", SimpleNamespace(notes=(), folder=folder, task="retrieval")),
            manifest=stored.manifest,
            stored=stored,
            engine=Quick(seconds),
            pricing=Pricing(_price, OBJECTIVES),
            folder=folder,
            budget=stored.budget(),
            role="worker",
            listeners=(say,),
        ).run()
        uuids.write("end\n")


def serve(url: str, folder: Path, trials: int, seconds: float) -> None:
    """Begins a process for every line, until there are no more."""
    # Nobody waits for them: what became of them stands in their files.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        number = os.fork()
        if number == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(url, folder, trials, seconds)
            os._exit(0)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
