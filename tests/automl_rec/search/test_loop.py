"""The loop with an engine that answers at once, on a real database."""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from automl_rec import pareto
from automl_rec.errors import Infeasible, StorageError
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.plugin import Interval
from automl_rec.price import Price
from automl_rec.search.after_parts import AfterParts
from automl_rec.search.early_stopping import NoStopping, Rule, SafeStopping, Standing
from automl_rec.search.engine import Event, Failed, Finished, Job, Reported, Started
from automl_rec.search.enumeration import configurations
from automl_rec.search.events import StudyEvent, TrialFinished, TrialRequeued
from automl_rec.search.loop import MOST_LOSSES, Limits, Loop, Parts
from automl_rec.search.pricing import Pricing
from automl_rec.search.proposals import Proposals
from automl_rec.search.samplers import make_sampler
from automl_rec.search.shelf import Shelf
from automl_rec.search.suggest import place
from automl_rec.search.suggestions import Suggestions
from automl_rec.space.configuration import Configuration
from automl_rec.space.space import Space
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import (
    CurvePoint,
    FinishedTrial,
    Manifest,
    RunningTrial,
    StoredBudget,
)
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy
from automl_rec.storage.tables import WorkerRow

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
    owner: int = 0,
    training_part: Callable[[Configuration], Configuration] = lambda configuration: configuration,
    derived: int = 0,
    **options: Any,
) -> Loop:
    suggestions = Suggestions(space, objectives, make_sampler("random", owner))
    stored.set_budget(StoredBudget(trials=trials))
    parts = Parts(
        stored,
        # Of another machine, so that it is judged by its heartbeat.
        stored.claims.join(replace(Owner.current(), host=f"machine-{owner}"), "worker"),
        "here",
        engine,
        Proposals(space, suggestions, (), {}, seed=owner),
        Pricing(pricing, objectives),
        rule or NoStopping(),
        Shelf(folder, objectives, ()),
        AfterParts(
            space, objectives, Pricing(pricing, objectives), training_part, most=derived, seed=0
        ),
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
    bounded = (NDCG, replace(BYTES, bound=5000.0))
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


SHARED = """
model: {tower: {width: [4, 8], rate: 0.1, loss: full}}
sparsity: {none: , magnitude: {density: [0.05, 0.2, 0.5]}}
"""


def pruned(configuration: Configuration) -> float:
    """Kilobytes a unit of width, less what is pruned."""
    assert configuration.sparsity is not None
    density = configuration.sparsity.hyperparameters.get("density", 1.0)
    return 1000 * width(configuration.as_dict()) * float(density)


def price_pruned(configuration: Configuration) -> Price:
    whole = Interval(pruned(configuration), pruned(configuration))
    return Price(whole, whole, Interval(0, 0), whole, whole, whole)


class Keeping:
    """Answers jobs, and writes the trainings that are to be kept."""

    def __init__(self, folder: Path, finished: Finish, stopped: str | None = None) -> None:
        self._folder, self._finished, self._stopped = folder / "trainings", finished, stopped
        self._folder.mkdir()

    def __call__(self, job: Job) -> Finished:
        if job.keep:
            (self._folder / job.training).write_text("weights")
        size = pruned(Configuration.from_dict(job.configuration))
        found = self._finished(job, {"ndcg@10": 0.3 * (size / 8000) ** 0.05, "bytes": size})
        curve = ((1, 0.1, None, 1.0), (2, 0.3, None, 2.0))
        return replace(found, train_seconds=3.0, stopped=self._stopped, curve=curve)


def model_alone(configuration: Configuration) -> Configuration:
    return Configuration(configuration.model)


def sharing_loop(space: Space, stored: StoredStudy, engine: Any, folder: Path, **more: Any) -> Loop:
    options: dict[str, Any] = {"pricing": price_pruned, "training_part": model_alone, "derived": 8}
    return make_loop(space, stored, engine, folder, **options | more)


def test_a_training_serves_other_trials_that_take_no_budget(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    engine, heard = instant(Keeping(tmp_path, finished)), list[StudyEvent]()
    rule = SafeStopping(("bytes",), min_epochs=1, min_finished=1)
    options: dict[str, Any] = {"trials": 1, "heard": heard, "rule": rule}
    loop = sharing_loop(space_of(SHARED), stored, engine, tmp_path, **options)
    assert loop.run() == "trials"
    parent, *children = stored.trials()
    assert len(children) == 3
    assert {trial.training for trial in (parent, *children)} == {parent.training}
    assert {trial.seed for trial in (parent, *children)} == {parent.seed}
    assert (parent.parent, parent.origin) == (None, "sampler")
    assert {(trial.parent, trial.origin) for trial in children} == {(0, "derived")}
    # What they cost is what their parent cost, with what they took themselves.
    assert {trial.train_seconds for trial in children} == {3.0}
    # The curve is the parent's: it stands once, and teaches early stopping once.
    assert set(stored.curves()) == {0}
    assert [len(gains) for gains in rule._curves.values()] == [1]
    ends = [event for event in heard if isinstance(event, TrialFinished)]
    assert [event.ran for event in ends] == [1] * 4
    assert (tmp_path / "trainings" / parent.training).is_file(), "the front still has it"


def test_a_trial_that_shares_a_kept_training_says_whose(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    engine = instant(Keeping(tmp_path, finished))
    loop = sharing_loop(space_of(SHARED), stored, engine, tmp_path, derived=1)
    assert loop.run() == "exhausted"
    trials = stored.trials()
    assert len(trials) == 8
    firsts = {trial.training: trial.number for trial in reversed(trials)}
    assert len(firsts) == 2
    for trial in trials:
        first = firsts[trial.training]
        assert trial.parent == (None if trial.number == first else first)
    assert sum(trial.origin == "derived" for trial in trials) == 2, "one from each training"


def test_a_training_that_the_search_stopped_serves_nobody(
    space_of: SpaceOf,
    stored: StoredStudy,
    instant: Any,
    finished: Finish,
    tmp_path: Path,
) -> None:
    engine = instant(Keeping(tmp_path, finished, "early"))
    assert sharing_loop(space_of(SHARED), stored, engine, tmp_path, trials=1).run() == "trials"
    assert len(stored.trials()) == 1
    assert list((tmp_path / "trainings").iterdir()) == []


def test_nothing_is_derived_where_the_training_is_gone(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    engine = instant(lambda job: finished(job, {"ndcg@10": 0.1, "bytes": 9.0}))
    assert sharing_loop(space_of(SHARED), stored, engine, tmp_path, trials=1).run() == "trials"
    assert len(stored.trials()) == 1


def test_a_loop_goes_on_with_what_another_had_still_to_derive(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    engine = instant(Keeping(tmp_path, finished))
    options: dict[str, Any] = {"trials": 1, "derived": 2}
    sharing_loop(space_of(SHARED), stored, engine, tmp_path, **options).run()
    options |= {"past": stored.trials(), "derived": 3, "owner": 1}
    sharing_loop(space_of(SHARED), stored, engine, tmp_path, **options).run()
    assert [trial.parent for trial in stored.trials()] == [None, 0, 0, 0]


@pytest.mark.parametrize("deterministic", [False, True])
def test_what_trains_here_is_trained_once_however_many_workers_there_are(
    space_of: SpaceOf,
    stored: StoredStudy,
    instant: Any,
    finished: Finish,
    tmp_path: Path,
    *,
    deterministic: bool,
) -> None:
    engine = instant(Keeping(tmp_path, finished), workers=3)
    ended = engine.wait
    # Its trials take as long as there is anything else to do.
    engine.wait = lambda seconds: ended(seconds) if seconds else []
    options: dict[str, Any] = {"derived": 3, "deterministic": deterministic}
    loop = sharing_loop(space_of(SHARED), stored, engine, tmp_path, **options)
    assert loop.run() == "exhausted"
    trials = stored.trials()
    assert len(trials) == len({trial.digest for trial in trials}) == 8
    trained = [trial for trial in trials if trial.parent is None]
    assert len(trained) == len({trial.training for trial in trained}) == 2
    # Both at once, and nothing beside them.
    assert {job.digest for job in engine.jobs[:2]} == {trial.digest for trial in trained}


def test_of_two_that_trained_the_same_at_once_the_first_is_the_parent(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    space, keeping = space_of(SHARED.replace("[4, 8]", "8")), Keeping(tmp_path, finished)
    for number, configuration in enumerate(itertools.islice(configurations(space), 2)):
        training = model_alone(configuration).digest
        (tmp_path / "trainings" / training).write_text("weights")
        measured = {"ndcg@10": 0.3 - 0.1 * number, "bytes": pruned(configuration)}
        trained = FinishedTrial(
            uuid=str(number),
            digest=configuration.digest,
            configuration=configuration.as_dict(),
            state="complete",
            measurements={name: Measurement(value) for name, value in measured.items()},
            seed=0,
            origin="baseline",
            worker="elsewhere",
            training=training,
            started=0.0,
            finished=1.0,
        )
        assert stored.record(trained) == number
    options: dict[str, Any] = {"past": stored.trials(), "trials": 2, "derived": 1}
    sharing_loop(space, stored, instant(keeping), tmp_path, **options).run()
    assert [trial.parent for trial in stored.trials()] == [None, None, 0]


def test_a_training_that_can_serve_nobody_goes_with_its_trial(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    def answer(job: Job) -> Finished:
        (tmp_path / "trainings" / job.training).write_text("half of it")
        return finished(job, {"ndcg@10": 0.1, "bytes": 9.0})

    (tmp_path / "trainings").mkdir()
    space = space_of(SHARED.replace("{none: , magnitude: {density: [0.05, 0.2, 0.5]}}", "none"))
    assert sharing_loop(space, stored, instant(answer), tmp_path).run() == "exhausted"
    assert len(stored.trials()) == 2
    assert list((tmp_path / "trainings").iterdir()) == []


def test_trainings_go_with_the_front(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    keeping = Keeping(tmp_path, finished)

    def better_when_wider(job: Job) -> Finished:
        found = keeping(job)
        wide = job.configuration["model"]["tower"]["width"] == 8
        measured = {"ndcg@10": (0.9 if wide else 0.1, None), "bytes": (1.0 if wide else 2.0, None)}
        return replace(found, measurements=measured)

    engine = instant(better_when_wider)
    assert sharing_loop(space_of(SHARED), stored, engine, tmp_path).run() == "exhausted"
    (kept,) = (tmp_path / "trainings").iterdir()
    (best,) = pareto.front(stored.trials(), OBJECTIVES).trials
    assert kept.name == best.training


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
    bounded = (NDCG, replace(BYTES, bound=1.0))
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


class Slow:
    """An engine whose jobs end only when a test says so."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.jobs: list[Job] = []
        self.cancelled: list[Job] = []
        self.events: list[Event] = []
        self.turns: list[Callable[[], None]] = []

    def start(self, job: Job) -> str:
        self.jobs.append(job)
        self.events.append(Started(job, "slow"))
        return "slow"

    def wait(self, seconds: float) -> list[Event]:
        if self.turns and not self.events:
            self.turns.pop(0)()
        events, self.events = self.events, []
        return events

    def answer(self, job: Job, *, proceed: bool) -> None:
        pass

    def cancel(self, job: Job) -> None:
        self.cancelled.append(job)

    def close(self) -> None:
        pass

    def finish(self, job: Job) -> None:
        measured = {"ndcg@10": (0.1, None), "bytes": (width(job.configuration), None)}
        self.events.append(Finished(job, "slow", measured, 1.0, None))


ELSEWHERE = Owner("another-machine", 1, 0.0)
ONE = "model: {tower: {width: 16, rate: 0.1, loss: full}}"


def begun_elsewhere(stored: StoredStudy, space: Space, **fields: Any) -> tuple[int, RunningTrial]:
    """A process on another machine with the only configuration of a space."""
    configuration = next(configurations(space))
    row = RunningTrial(
        **{
            "uuid": "theirs",
            "digest": configuration.digest,
            "configuration": configuration.as_dict(),
            "seed": 5,
            "origin": "baseline",
            "started": stored.now(),
            **fields,
        }
    )
    other = stored.claims.join(ELSEWHERE, "worker")
    assert stored.claims.claim(row, other) == "taken"
    return other, row


def test_a_configuration_that_another_process_runs_is_waited_for_and_learned(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    space, engine, heard = space_of(ONE), Slow(), list[StudyEvent]()
    other, row = begun_elsewhere(stored, space)
    measured = {"ndcg@10": Measurement(0.2), "bytes": Measurement(3.0)}
    fields = ("uuid", "digest", "configuration", "seed", "origin", "started")
    theirs = FinishedTrial(
        **{name: getattr(row, name) for name in fields},
        state="complete",
        finished=stored.now(),
        measurements=measured,
        worker="theirs",
    )

    curve = [CurvePoint(epoch, 0.2, None, 1.0) for epoch in (1, 2)]

    def record() -> None:
        assert stored.record(theirs, worker=other, curve=curve) == 0

    engine.turns = [lambda: None, record]
    rule = SafeStopping(("bytes",), min_epochs=1, min_finished=1)
    loop = make_loop(space, stored, engine, tmp_path, rule=rule, heard=heard)
    assert loop.run() == "exhausted"
    assert engine.jobs == []
    (told,) = (event for event in heard if isinstance(event, TrialFinished))
    assert (told.trial.uuid, told.ran, told.entered) == ("theirs", 1, True)
    assert told.front[0].measurements == measured
    # Early stopping has learned from it too.
    assert rule.stops(Standing("tower", {"bytes": 9000.0}, [(1, 0.1)], 0.1))


def test_a_trial_that_waits_is_run_before_anything_new(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    space, engine = space_of(SMALL), Slow()
    other, _ = begun_elsewhere(stored, space, seed=77, curve=(CurvePoint(1, 0.1, None, 1.0),))
    stored.claims.leave(other)
    engine.turns = [lambda: engine.finish(engine.jobs[-1])] * 6
    assert make_loop(space, stored, engine, tmp_path).run() == "exhausted"
    assert (engine.jobs[0].training, engine.jobs[0].seed) == (engine.jobs[0].digest, 77)
    assert stored.trials()[0].uuid == "theirs"
    assert len({job.run for job in engine.jobs}) == 6
    trials = stored.trials()
    assert trials[0].origin == "baseline"
    assert [trial.worker for trial in trials] == ["here/slow"] * 6


def test_a_trial_whose_processes_are_lost_again_and_again_is_given_up(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    space, engine = space_of(ONE), Slow()
    other, row = begun_elsewhere(stored, space, losses=MOST_LOSSES, training="lost")
    age_worker(stored, other)
    (tmp_path / "trainings").mkdir()
    (tmp_path / "trainings" / row.training).write_text("half of it")
    (tmp_path / "artefacts" / f"{row.digest}-lost").mkdir(parents=True)
    assert make_loop(space, stored, engine, tmp_path).run() == "exhausted"
    (trial,) = stored.trials()
    assert engine.jobs == []
    assert (trial.state, trial.reason) == ("failed", "The process that ran it was lost 5 times.")
    assert list((tmp_path / "trainings").iterdir()) == []
    assert list((tmp_path / "artefacts").iterdir()) == []


def test_a_trial_that_was_lost_once_leaves_what_its_last_run_made(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    space, engine = space_of(ONE), Slow()
    other, row = begun_elsewhere(stored, space)
    age_worker(stored, other)
    for name in (f"{row.digest}-lost", "another-run"):
        (tmp_path / "artefacts" / name).mkdir(parents=True)

    def end() -> None:
        (tmp_path / "artefacts" / engine.jobs[-1].run).mkdir()
        engine.finish(engine.jobs[-1])

    engine.turns = [end]
    assert make_loop(space, stored, engine, tmp_path).run() == "exhausted"
    left = {path.name for path in (tmp_path / "artefacts").iterdir()}
    assert left == {"another-run", engine.jobs[-1].run}


def test_a_process_that_was_thought_lost_ends_the_trials_that_others_took(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    space, engine, heard = space_of(ONE), Slow(), list[StudyEvent]()
    thief = stored.claims.join(replace(ELSEWHERE, pid=2), "worker")

    def steal() -> None:
        (mine,) = (w for w in stored.claims.workers() if w.number != thief)
        age_worker(stored, mine.number)
        assert stored.claims.adopt(thief) is not None

    def give() -> None:
        stored.claims.leave(thief)

    engine.turns = [steal, lambda: None, give, lambda: engine.finish(engine.jobs[-1])]
    loop = make_loop(space, stored, engine, tmp_path, heard=heard, beat_seconds=0.0)
    assert loop.run() == "exhausted"
    assert [job.training for job in engine.jobs] == [engine.jobs[0].training] * 2
    assert engine.cancelled == [engine.jobs[0]]
    assert [e.reason for e in heard if isinstance(e, TrialRequeued)] == [
        "This process was silent for so long that another has taken the trial over."
    ]
    assert [trial.number for trial in stored.trials()] == [0]


def test_a_late_result_of_a_trial_that_another_took_is_not_recorded(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    space, engine = space_of(ONE), Slow()
    thief = stored.claims.join(ELSEWHERE, "worker")
    folder = tmp_path / "artefacts"

    def steal_and_finish() -> None:
        (mine,) = (w for w in stored.claims.workers() if w.number != thief)
        age_worker(stored, mine.number)
        assert stored.claims.adopt(thief) is not None
        (folder / engine.jobs[0].run).mkdir(parents=True)
        engine.finish(engine.jobs[0])

    def go_on() -> None:
        assert stored.trials() == []
        assert list(folder.iterdir()) == []
        loop.drain(0.0)

    engine.turns = [steal_and_finish, go_on]
    loop = make_loop(space, stored, engine, tmp_path, beat_seconds=3600.0)
    assert loop.run() == "drained"
    assert [row.owner for row in stored.claims.running()] == [thief]


def test_a_draining_process_starts_nothing_and_ends_with_its_trials(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    engine = Slow()
    loop = make_loop(space_of(SMALL), stored, engine, tmp_path)
    engine.turns = [lambda: loop.drain(60.0), lambda: engine.finish(engine.jobs[0])]
    assert loop.run() == "drained"
    assert len(engine.jobs) == len(stored.trials()) == 1
    assert stored.claims.running() == []


def test_a_draining_process_waits_no_longer_than_it_may(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    engine = Slow()
    loop = make_loop(space_of(SMALL), stored, engine, tmp_path)
    engine.turns = [lambda: loop.drain(0.0)]
    assert loop.run() == "drained"
    assert stored.trials() == []
    # Whoever joined the process now says that it leaves, and the trial waits.
    assert len(stored.claims.running()) == 1


def test_a_disk_that_cannot_be_written_ends_the_loop_and_the_trial_waits(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, tmp_path: Path
) -> None:
    engine = instant(lambda job: Failed(job, "instant", "storage", "The disk is full. Free some."))
    with pytest.raises(StorageError, match=r"The disk is full\. Free some\."):
        make_loop(space_of(SMALL), stored, engine, tmp_path).run()
    (row,) = stored.claims.running()
    assert (row.owner, row.attempt) == (None, 1)
    assert stored.trials() == []


def test_the_curve_of_a_resumed_training_is_whole_and_has_each_epoch_once(
    space_of: SpaceOf, stored: StoredStudy, tmp_path: Path
) -> None:
    space, engine = space_of(ONE), Slow()
    known = tuple(CurvePoint(epoch, 0.1 * epoch, None, float(epoch)) for epoch in (1, 2, 3))
    other, _ = begun_elsewhere(stored, space, curve=known)
    stored.claims.leave(other)

    def go_on() -> None:
        engine.events.append(Reported(engine.jobs[0], 3, 4, 0.33, 0.0, 3.0))
        engine.events.append(Reported(engine.jobs[0], 4, 4, 0.4, 0.0, 4.0))

    engine.turns = [go_on, lambda: engine.finish(engine.jobs[0])]
    make_loop(space, stored, engine, tmp_path).run()
    curve = stored.curves()[0]
    assert [(point.epoch, point.quality) for point in curve] == [
        (1, pytest.approx(0.1)),
        (2, pytest.approx(0.2)),
        (3, 0.33),
        (4, 0.4),
    ]


def test_two_loops_divide_a_space_and_its_budget(
    space_of: SpaceOf, stored: StoredStudy, instant: Any, finished: Finish, tmp_path: Path
) -> None:
    space = space_of("model: tower")

    def answer(job: Job) -> Finished:
        return finished(job, {"ndcg@10": 0.1, "bytes": width(job.configuration)})

    engines = [instant(answer), instant(answer)]
    url = f"sqlite:///{tmp_path}/study.db"
    ends: list[str] = []

    def work(engine: Any, number: int) -> None:
        with Repository.open(url) as repository:
            own = repository.study("loop")
            loop = make_loop(space, own, engine, tmp_path, trials=40, owner=number)
            ends.append(loop.run())

    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(engines, (1, 2), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == ["trials", "trials"]
    trials = stored.trials()
    assert [trial.number for trial in trials] == list(range(40))
    assert len({trial.digest for trial in trials}) == 40
    assert sorted(job.digest for e in engines for job in e.jobs) == sorted(t.digest for t in trials)
    assert all(engine.jobs for engine in engines)


def age_worker(stored: StoredStudy, worker: int) -> None:
    """Makes a process's last heartbeat older than its lease."""
    change = update(WorkerRow).where(WorkerRow.id == worker).values(heartbeat=0.0)
    stored._database.write(lambda connection: connection.execute(change))
