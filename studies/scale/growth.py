"""What a trial costs the loop after so many others, and what opening such a study costs.

One SQLite study is filled with random configurations of the space, then copied for each sampler,
and a process searches it for some trials more. What its parts take is timed where the loop calls
them: the sampler (`Suggestions`, in memory), the claim, the record, what is read, the front.
"""

import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from automl_rec.errors import Infeasible
from automl_rec.search.enumeration import draw
from automl_rec.search.events import StudyStarted, TrialFinished
from automl_rec.search.proposals import Proposals
from automl_rec.search.session import pricer
from automl_rec.search.shelf import Shelf
from automl_rec.search.study import Study
from automl_rec.search.suggest import place
from automl_rec.search.suggestions import Suggestions
from automl_rec.storage.claims import Claims
from automl_rec.storage.records import FinishedTrial
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy
from studies.results import Results
from studies.scale.instant import NAME, Setting, measurements

MARKS = (100, 500, 1000, 2000, 5000)
MEASURED = {"random": 30, "nsga2": 10, "tpe": 5}
"""Sampler -> trials whose median is the figure."""
CAP_SECONDS = 360.0
"""A sampler that has taken so long is not asked at the next mark."""
PARTS = {
    "ask": (Suggestions, "ask"),
    "tell": (Proposals, "tell"),
    "learn": (Suggestions, "learn"),
    "adopt": (Claims, "adopt"),
    "room": (Claims, "room"),
    "claim": (Claims, "claim"),
    "record": (StoredStudy, "record"),
    "read": (StoredStudy, "trials"),
    "front": (Shelf, "add"),
    "sweep": (Shelf, "sweep"),
}


class Stopwatch:
    """The seconds that every part took since it was last read."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = defaultdict(float)
        for part, (owner, name) in PARTS.items():
            setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments, **named)
            finally:
                self._spent[part] += time.perf_counter() - began

        return timed

    def read(self) -> dict[str, float]:
        spent = {part: self._spent[part] for part in PARTS}
        self._spent.clear()
        return spent


class Filler:
    """Records random configurations as if they had been run."""

    def __init__(self, setting: Setting, file: Path) -> None:
        self._setting, self._generator = setting, np.random.default_rng(0)
        self._url = f"sqlite:///{file}"
        with TemporaryDirectory() as folder, Repository.open(self._url) as repository:
            setting.create(repository)
            # The baselines, which are proposed before any sampler is asked.
            setting.session(repository, Path(folder), 40).run()

    def fill(self, mark: int) -> None:
        with Repository.open(self._url) as repository:
            stored = repository.study(NAME)
            left = mark - len(stored.trials())
            while left > 0:
                left -= self._record(stored)

    def _record(self, stored: StoredStudy) -> bool:
        space = self._setting.space
        try:
            drawn = draw(space, self._generator)
        except Infeasible:
            return False
        now = time.time()
        trial = FinishedTrial(
            uuid=uuid.uuid4().hex,
            digest=drawn.digest,
            configuration=drawn.as_dict(),
            state="complete",
            measurements=measurements(drawn.digest),
            violations={},
            seed=1,
            origin="random",
            worker="machine:1/worker-0",
            train_seconds=0.0,
            started=now,
            finished=now,
        )
        return stored.record(trial, place=place(space, drawn)) is not None


def search(
    setting: Setting, file: Path, mark: int, trials: int, watch: Stopwatch
) -> dict[str, Any]:
    """Milliseconds a trial and its parts, the medians of some trials; seconds until the first."""
    start: dict[str, float] = {}
    rows: list[dict[str, float]] = []
    front = 0
    began = time.perf_counter(), time.process_time()

    def hear(event: Any) -> None:
        nonlocal began, front
        if not isinstance(event, (StudyStarted, TrialFinished)):
            return
        now = time.perf_counter(), time.process_time()
        spent = {"whole": now[0] - began[0], "processor": now[1] - began[1]} | watch.read()
        if isinstance(event, StudyStarted):
            start.update(spent)
        else:
            rows.append(spent)
            front = len(event.front)
        began = time.perf_counter(), time.process_time()

    url = f"sqlite:///{file}"
    with TemporaryDirectory() as folder, Repository.open(url) as repository:
        watch.read()
        began = time.perf_counter(), time.process_time()
        # The first is left out: what a sampler computes once is done with it.
        limit = mark + trials + 1
        setting.session(repository, Path(folder), limit, listeners=(hear,)).run()
    kept = rows[1:]
    medians = {part: 1000 * float(np.median([row[part] for row in kept])) for part in kept[0]}
    return {
        "trials": len(kept),
        **medians,
        "start": start,
        "front_trials": front,
    }


def open_study(file: Path) -> dict[str, float]:
    """Seconds of a processor that a reader takes: the study, its front, its hypervolumes."""
    began = time.process_time()
    study = Study.open(NAME, storage=f"sqlite:///{file}", out=file.parent)
    opened = time.process_time()
    study.front()
    fronted = time.process_time()
    study.hypervolumes()
    ended = time.process_time()
    return {
        "open": opened - began,
        "front": fronted - opened,
        "hypervolumes": ended - fronted,
        "resident": psutil.Process().memory_info().rss,
    }


def price_milliseconds(setting: Setting, count: int = 200) -> dict[str, float]:
    """What the real price of a random configuration costs."""
    price, generator = pricer(setting.data, setting.registry), np.random.default_rng(1)
    spent: list[float] = []
    while len(spent) < count:
        try:
            drawn = draw(setting.space, generator)
            began = time.process_time()
            price(drawn)
        except Infeasible:
            continue
        spent.append(1000 * (time.process_time() - began))
    return {"median": float(np.median(spent)), "mean": float(np.mean(spent))}


def main() -> None:
    results = Results.of("scale", "growth")
    settings = {sampler: Setting.of(sampler) for sampler in MEASURED}
    if not results.has(what="price"):
        results.add_with_load(what="price", **price_milliseconds(settings["random"]))
    watch = Stopwatch()
    with TemporaryDirectory() as folder:
        file, copy = Path(folder) / "study.db", Path(folder) / "copy.db"
        filler = None
        for mark in MARKS:
            if not results.has(what="open", mark=mark):
                filler = filler or Filler(settings["random"], file)
                filler.fill(mark)
                results.add_with_load(what="open", mark=mark, **open_study(file))
            for sampler in wanted(results, mark):
                filler = filler or Filler(settings["random"], file)
                filler.fill(mark)
                began = time.perf_counter()
                shutil.copy(file, copy)
                found = search(settings[sampler], copy, mark, MEASURED[sampler], watch)
                seconds = round(time.perf_counter() - began, 1)
                size = file.stat().st_size
                results.add_with_load(
                    sampler=sampler, mark=mark, seconds=seconds, bytes=size, **found
                )
                for path in Path(folder).glob("copy.db*"):
                    path.unlink()


def wanted(results: Results, mark: int) -> list[str]:
    """The samplers not yet measured at a mark, but those that have used their time."""
    lines = [line for line in results.lines() if "sampler" in line]
    taken = defaultdict[str, float](float)
    for line in lines:
        taken[line["sampler"]] += line["seconds"]
    left = [sampler for sampler in MEASURED if not results.has(sampler=sampler, mark=mark)]
    return [sampler for sampler in left if taken[sampler] <= CAP_SECONDS]


if __name__ == "__main__":
    main()
