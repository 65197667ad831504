"""What a trial costs beside its training: our loop against a bare Optuna loop, both on SQLite.

A thousand trials of a trivial objective over ten hyperparameters, two objectives, one process. The
bare loop asks, suggests and tells on Optuna's own RDB storage with WAL and synchronous=NORMAL. Ours
is the real loop (proposals, price, early stopping, our tables and Optuna's) with an engine whose
trials end at once; its price is a formula, as the objective is. Both use the same sampler. The two
take turns in slices of a hundred trials, so that whatever else the machine does hits both.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import event

from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Component, Float, Interval
from automl_rec.price import Price
from automl_rec.registry import Plugin, Registry
from automl_rec.search.after_parts import AfterParts
from automl_rec.search.early_stopping import SafeStopping
from automl_rec.search.engine import Job
from automl_rec.search.loop import Limits, Loop, Parts
from automl_rec.search.pricing import Pricing
from automl_rec.search.proposals import Proposals
from automl_rec.search.samplers import SamplerName, make_sampler
from automl_rec.search.shelf import Shelf
from automl_rec.search.suggest import place
from automl_rec.search.suggestions import Suggestions
from automl_rec.space.checker import check
from automl_rec.space.configuration import Configuration
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import Manifest, StoredBudget
from automl_rec.storage.repository import Repository
from studies.engine import InstantEngine
from studies.speed.figure import Figure

SLICE = 100
TRIALS, QUICK_TRIALS = 1000, 100
SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe")
NAMES = [f"x{number}" for number in range(10)]
OBJECTIVES = (
    Objective("ndcg@10", "maximize", ""),
    Objective("bytes", "minimize", "B", priced=True),
)


def trivial(values: list[float]) -> tuple[float, float]:
    """A quality that falls with distance from the middle, a size that grows with the first."""
    quality = 1 / (1 + sum((value - 0.5) ** 2 for value in values))
    return quality, 1000 * (1 + values[0])


def answer(job: Job) -> dict[str, tuple[float, float | None]]:
    quality, size = trivial(list(job.configuration["model"]["trivial"].values()))
    return {"ndcg@10": (quality, 0.01), "bytes": (size, None)}


def ours(folder: Path, sampler: Any) -> Callable[[int], None]:
    domains = {name: Float(0.0, 1.0, 0.5) for name in NAMES}
    component = Component("model", "trivial", "s", "s", "a:B", domains, compressible=frozenset())
    registry = Registry([Plugin("made-up", "acme", "1.0", components=(component,))])
    text = "data: {source: movielens-small}\nobjectives: [ndcg@10, bytes]\nmodel: trivial\n"
    space = check(text, Path("space.yaml"), registry)
    repository = Repository.open(f"sqlite:///{folder}/ours.db")
    manifest = Manifest("s", text, "s", "d", {}, OBJECTIVES, {}, {}, 0, time.time())
    stored = repository.create_study(manifest)

    def price(configuration: Configuration) -> Price:
        values = list(configuration.model.hyperparameters.values())
        size = trivial([float(value) for value in values])[1]
        whole = Interval(size, size)
        return Price(whole, whole, Interval(0, 0), whole, whole, whole)

    pricing = Pricing(price, OBJECTIVES)
    parts = Parts(
        stored,
        stored.claims.join(Owner.current()),
        "here",
        InstantEngine(answer),
        Proposals(space, Suggestions(space, OBJECTIVES, sampler), (), {}, seed=0),
        pricing,
        SafeStopping(("bytes",), min_epochs=5, min_finished=5),
        Shelf(folder, OBJECTIVES, ()),
        AfterParts(space, OBJECTIVES, pricing, lambda whole: whole, most=0, seed=0),
        lambda configuration: place(space, configuration),
    )

    def go(trials: int) -> None:
        past = stored.trials()
        stored.set_budget(StoredBudget(len(past) + trials))
        Loop(parts, OBJECTIVES, OBJECTIVES[0], Limits(), seed=0, past=past).run()

    return go


def bare(folder: Path, sampler: Any) -> Callable[[int], None]:
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{folder}/bare.db", engine_kwargs={"connect_args": {"timeout": 60}}
    )

    @event.listens_for(storage.engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()
    study = optuna.create_study(
        storage=storage, sampler=sampler, directions=["maximize", "minimize"]
    )

    def go(trials: int) -> None:
        for _ in range(trials):
            trial = study.ask()
            study.tell(trial, trivial([trial.suggest_float(name, 0, 1) for name in NAMES]))

    return go


def measure(sampler: SamplerName, trials: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        loops = {
            "ours": ours(folder, make_sampler(sampler, 0)),
            "bare": bare(folder, make_sampler(sampler, 0)),
        }
        wall: dict[str, list[float]] = {name: [] for name in loops}
        processor: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(trials // SLICE):
            for name, go in loops.items():
                began, began_processor = time.perf_counter(), time.process_time()
                go(SLICE)
                wall[name].append(1000 * (time.perf_counter() - began) / SLICE)
                processor[name].append(1000 * (time.process_time() - began_processor) / SLICE)
    note = f"{trials:,} trials of 10 hyperparameters and 2 objectives, slices of {SLICE}"
    both = tuple(wall["ours"]), tuple(wall["bare"])
    Figure(f"{sampler}, a trial, wall", "ms", *both, most=1.0, note=note).emit()
    both = tuple(processor["ours"]), tuple(processor["bare"])
    Figure(f"{sampler}, a trial, processor", "ms", *both).emit()
    last = (wall["ours"][-1],), (wall["bare"][-1],)
    Figure(f"{sampler}, a trial of the last slice, wall", "ms", *last, most=1.0).emit()


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = QUICK_TRIALS if "--quick" in sys.argv else TRIALS
    for sampler in SAMPLERS:
        measure(sampler, trials)


if __name__ == "__main__":
    main()
