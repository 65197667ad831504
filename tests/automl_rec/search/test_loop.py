"""The loop with an engine that answers at once, on a real database."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from automl_rec.errors import Infeasible, StorageError
from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Interval
from automl_rec.price import Price
from automl_rec.search.early_stopping import NoStopping, Rule, SafeStopping, Standing
from automl_rec.search.engine import Event, Failed, Finished, Job, Reported, Started
from automl_rec.search.events import StudyEvent, TrialFinished
from automl_rec.search.loop import Limits, Loop, Parts
from automl_rec.search.pricing import Pricing
from automl_rec.search.proposals import Proposals
from automl_rec.search.samplers import make_sampler
from automl_rec.search.shelf import Shelf
from automl_rec.search.suggest import place
from automl_rec.search.suggestions import Suggestions
from automl_rec.space.configuration import Configuration
from automl_rec.space.space import Space
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import Manifest, StoredBudget
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy

SpaceOf = Callable[[str], Space]
Finish = Callable[[Job, Mapping[str, float]], Finished]
NDCG = Objective("ndcg@10", "maximize", "")
BYTES = Objective("bytes", "minimize", "B", priced=True)
OBJECTIVES = (NDCG, BYTES)
SMALL = "model: {tower: {width: [4, 8, 16], rate: [0.1, 0.2], loss: full}}"


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredStudy]:
    manifest = Manifest(
        name="loop",
        space_text="",
        space_digest="s",
        data_digest="d",
        data={},
        objectives=OBJECTIVES,
        plugins={},
        environment={},
        seed=0,
        created=time.time(),
    )
    with Repository.open(f"sqlite:///{tmp_path}/study.db") as repository:
        yield repository.create_study(manifest)


def width(configuration: Mapping[str, Any]) -> float:
    return float(configuration["model"]["tower"]["width"])


def price(configuration: Configuration) -> Price:
    """A thousand bytes a unit of width, half of them uncertain."""
    size = 1000 * width(configuration.as_dict())
    whole = Interval(size / 2, size)
    return Price(whole, whole, Interval(0, 0), Interval(size, size), whole, whole)


def make_loop(
    space: Space,
    stored: StoredStudy,
    engine: Any,
    folder: Path,
    *,
    objectives: tuple[Objective, ...] = OBJECTIVES,
    limits: Limits | None = None,
    pricing: Callable[[Configuration], Price] = price,
    rule: Rule | None = None,
    heard: list[StudyEvent] | None = None,
    trials: int | None = None,
    **options: Any,
) -> Loop:
    suggestions = Suggestions(space, objectives, make_sampler("random", 0))
    stored.set_budget(StoredBudget(trials=trials))
    parts = Parts(
        stored,
        stored.claims.join(Owner.current()),
        "here",
        engine,
        Proposals(space, suggestions, (), {}, seed=0),
        Pricing(pricing, objectives),
        rule or NoStopping(),
        Shelf(folder, objectives, ()),
        lambda configuration: place(space, configuration),
        () if heard is None else (heard.append,),
    )
    limits = limits or Limits()
    return Loop(parts, objectives, objectives[0], limits, seed=0, **options)


def test_a_finite_space_is_run_whole_and_recorded(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    heard: list[StudyEvent] = []
    engine = instant(lambda job: finished(job, {"ndcg@10": 0.1, "bytes": width(job.configuration)}))
    loop = make_loop(space_of(SMALL), stored, engine, tmp_path, heard=heard)
    assert loop.run() == "exhausted"
    trials = stored.trials()
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.state for trial in trials} == {"complete"}
    assert stored.claims.running() == []
    ends = [event for event in heard if isinstance(event, TrialFinished)]
    assert [event.trial for event in ends] == trials
    # Equal quality: one of the two smallest stands for both.
    assert [width(trial.configuration) for trial in ends[-1].front] == [4.0]
    assert ends[-1].ran == 6
    assert len({job.seed for job in engine.jobs}) == 6


def test_the_budget_of_trials_counts_those_that_ran(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    bounded = (NDCG, dataclasses.replace(BYTES, bound=5000.0))
    engine = instant(lambda job: finished(job, {"ndcg@10": 0.1, "bytes": 4000.0}))
    loop = make_loop(space_of(SMALL), stored, engine, tmp_path, objectives=bounded, trials=3)
    assert loop.run() == "trials"
    trials = stored.trials()
    assert sum(trial.worker is not None for trial in trials) == 3
    # Of width 16 even the low end, 8,000 bytes, breaks the bound; of width 8 it is 4,000.
    refused = {width(t.configuration) for t in trials if t.state == "pruned"}
    assert refused <= {16.0}
    for trial in trials:
        if trial.state == "pruned":
            assert trial.violations == {"bytes": 3000.0}
            assert trial.reason == "Refused on price: bytes at least 8 kB, 3 kB beyond the bound."


def test_what_cannot_be_priced_is_refused_or_failed_and_the_rest_goes_on(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    def choosy(configuration: Configuration) -> Price:
        if width(configuration.as_dict()) == 4:
            raise Infeasible("It is too small. Make it larger.")
        if width(configuration.as_dict()) == 8:
            raise ZeroDivisionError("a plugin's own bug")
        return price(configuration)

    engine = instant(lambda job: finished(job, {"ndcg@10": 0.1, "bytes": 1.0}))
    make_loop(space_of(SMALL), stored, engine, tmp_path, pricing=choosy).run()
    found = {width(t.configuration): (t.state, t.reason) for t in stored.trials()}
    assert found[4.0] == ("pruned", "It is too small. Make it larger.")
    state, reason = found[8.0]
    assert state == "failed"
    assert reason is not None
    assert reason.startswith("ZeroDivisionError: a plugin's own bug (at ")
    assert found[16.0] == ("complete", None)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_measurement_that_is_no_finite_number_fails_the_trial(
    space_of: SpaceOf,
    stored: StoredStudy,
    instant: Any,
    finished: Finish,
    tmp_path: Path,
    value: float,
) -> None:
    engine = instant(lambda job: finished(job, {"ndcg@10": value, "bytes": 1.0}))
    make_loop(space_of(SMALL), stored, engine, tmp_path).run()
    for trial in stored.trials():
        assert trial.state == "failed"
        assert trial.reason is not None
        assert "ndcg@10 must be a finite number" in trial.reason


def test_a_space_whose_every_configuration_breaks_the_bound_ends(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    bounded = (NDCG, dataclasses.replace(BYTES, bound=1.0))
    engine = instant(lambda job: finished(job, {}))
    loop = make_loop(space_of(SMALL), stored, engine, tmp_path, objectives=bounded)
    assert loop.run() == "exhausted"
    assert engine.jobs == []
    assert {trial.state for trial in stored.trials()} == {"pruned"}


def test_a_job_whose_worker_dies_is_tried_twice(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, tmp_path: Path
) -> None:
    engine = instant(lambda job: Failed(job, "instant", "died", "Its worker exited (9)."))
    make_loop(space_of(SMALL), stored, engine, tmp_path, trials=2).run()
    trials = stored.trials()
    assert [trial.state for trial in trials] == ["failed", "failed"]
    assert [job.digest for job in engine.jobs] == [t.digest for t in trials for _ in range(2)]
    assert engine.jobs[0].seed == engine.jobs[1].seed


class Curves:
    """An engine whose trainings report a curve of ten epochs, 0.1 better each time."""

    workers = 1

    def __init__(self) -> None:
        self.job: Job | None = None
        self.epoch = 0
        self.epochs: list[int] = []
        self.proceed = True

    def start(self, job: Job) -> str:
        self.job, self.epoch, self.proceed = job, 0, True
        return "curves"

    def answer(self, job: Job, *, proceed: bool) -> None:
        self.proceed = proceed

    def wait(self, seconds: float) -> list[Event]:
        job = self.job
        if job is None:
            return []
        if self.epoch == 0:
            self.epoch = 1
            return [Started(job, "curves"), self._report(job)]
        if self.proceed and self.epoch < 10:
            self.epoch += 1
            return [self._report(job)]
        self.job = None
        self.epochs.append(self.epoch)
        measured = {
            "ndcg@10": (self._quality(job), 0.01),
            "bytes": (width(job.configuration), None),
        }
        stopped = None if self.proceed else "early"
        return [Finished(job, "curves", measured, 1.0, stopped)]

    def close(self) -> None:
        self.job = None

    def _quality(self, job: Job) -> float:
        return self.epoch * 0.1 / width(job.configuration)

    def _report(self, job: Job) -> Reported:
        return Reported(job, self.epoch, 10, self._quality(job), 0.01, float(self.epoch))


def test_a_hopeless_training_is_stopped_and_recorded_with_its_last_value(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    rule = SafeStopping(("bytes",), min_epochs=3, min_finished=1)
    # Finished before: small, good, and no better after its second epoch.
    rule.add(Standing("tower", {"bytes": 1.0}, [(1, 0.8), (2, 0.9), (10, 0.9)], 0.9))
    engine = Curves()
    space = space_of("model: {tower: {width: 16, rate: 0.1, loss: full}}")
    make_loop(space, stored, engine, tmp_path, rule=rule).run()
    (trial,) = stored.trials()
    assert engine.epochs == [3]
    assert trial.state == "pruned"
    assert trial.reason == "Stopped after epoch 3: it could not reach the front."
    assert trial.measurements["ndcg@10"].value == pytest.approx(0.3 / 16)
    assert [point.epoch for point in stored.curves()[0]] == [1, 2, 3]


def test_without_a_rule_every_training_runs_to_its_end(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    engine = Curves()
    make_loop(space_of(SMALL), stored, engine, tmp_path).run()
    assert engine.epochs == [10] * 6


def test_a_database_that_refuses_ends_the_loop_with_its_error(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    def answer(job: Job) -> Finished:
        for path in tmp_path.glob("study.db*"):
            path.write_bytes(b"no database" * 1000)
        return finished(job, {"ndcg@10": 0.1, "bytes": 1.0})

    with pytest.raises(StorageError):
        make_loop(space_of(SMALL), stored, instant(answer), tmp_path).run()
