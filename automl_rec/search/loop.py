"""The loop of every process that runs a study's trials, alone or with others.

What waits, or was lost by another, comes first; then new configurations are proposed, priced,
claimed, run and recorded, until the budget or the space ends. The database decides whose a trial
is, and everything that others record is learned from.
"""

import contextlib
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from automl_rec.errors import AutomlRecError, Infeasible, StorageError
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.search.after_parts import AfterParts
from automl_rec.search.early_stopping import Rule, Standing
from automl_rec.search.engine import Engine, Event, Failed, Finished, Job, Reported, Started
from automl_rec.search.events import (
    Listener,
    TrialFinished,
    TrialReported,
    TrialRequeued,
    TrialStarted,
)
from automl_rec.search.lessons import (
    CUT_SHORT,
    TIME_OVER,
    by_quality,
    lesson_of,
    standing_of,
    upward,
    violations_of,
)
from automl_rec.search.pricing import Priced, Pricing, bounds_broken
from automl_rec.search.proposals import Proposal, Proposals
from automl_rec.search.reason import reason_of, shorten
from automl_rec.search.samplers import derive_seed
from automl_rec.search.shelf import Shelf
from automl_rec.search.suggest import Place
from automl_rec.search.title import title_of
from automl_rec.space.configuration import Configuration
from automl_rec.storage.records import (
    DERIVED,
    Artefact,
    CurvePoint,
    FinishedTrial,
    RunningTrial,
    State,
    TrialRecord,
)
from automl_rec.storage.stored_study import StoredStudy

Why: TypeAlias = Literal["trials", "time", "exhausted", "refused", "drained"]
Waits: TypeAlias = Literal["waits"]
BEAT_SECONDS = 5.0
GRACE_SECONDS = 5.0
MOST_ATTEMPTS = 2
MOST_LOSSES = 4
"""A trial whose process was lost more often is thought to be the reason."""
MOST_WAITING = 8
"""So many proposals wait for trainings that run here; where there are more, workers wait too."""
MOST_REFUSALS = 1000
"""So many proposals in a row that no bound lets pass: there will be no other."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the loop ends.

    How many trials may run stands in the database, for all processes together.

    Attributes:
        deadline: by `time.monotonic`; None for no limit.
        trial_seconds: wall time of one trial, which is ended beyond it; None for no limit.
        share_seconds: wall time after which a training ends with its best epoch, so that no trial
            takes a study's time for itself; None for no limit.
    """

    deadline: float | None = None
    trial_seconds: float | None = None
    share_seconds: float | None = None

    def seconds_left(self) -> float:
        """Until the deadline."""
        return math.inf if self.deadline is None else self.deadline - time.monotonic()

    def trial_limit(self, measuring_seconds: float) -> float | None:
        """The seconds a trial that starts now may train, so that it is measured in time."""
        left = self.seconds_left()
        left -= min(measuring_seconds, left / 4)
        return _least(left, self.trial_seconds, self.share_seconds)

    def end(self) -> float | None:
        """The seconds after which a trial that starts now is ended, whatever it does."""
        return _least(self.seconds_left(), self.trial_seconds)


def _least(*limits: float | None) -> float | None:
    found = min(limit for limit in limits if limit is not None)
    return None if found == math.inf else max(found, 0.0)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop joins.

    Attributes:
        worker: the number of this process, and ``name`` what it is called.
        place: where a configuration lies in the space.
    """

    stored: StoredStudy
    worker: int
    name: str
    engine: Engine
    proposals: Proposals
    pricing: Pricing
    rule: Rule
    shelf: Shelf
    after_parts: AfterParts
    place: Callable[[Configuration], Place | None]
    listeners: Sequence[Listener] = ()


@dataclass
class _Running:
    """A trial that a worker has."""

    proposal: Proposal
    priced: Priced
    row: RunningTrial
    job: Job
    worker: str
    curve: list[CurvePoint]
    hopeless: int | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def model(self) -> str:
        return self.proposal.configuration.model.name

    @property
    def training(self) -> str:
        return self.job.training


@dataclass(frozen=True, slots=True)
class _Own:
    """What is known here of a trial that this process recorded."""

    proposal: Proposal
    high: Mapping[str, float]
    curve: Sequence[CurvePoint]


class Loop:
    """Runs the trials of one study.

    Args:
        parts: what it joins.
        objectives: of the study.
        quality: the one that training watches.
        limits: when it ends.
        seed: of the study.
        past: the trials recorded before, which everything else has learned from.
        beat_seconds: how often this process says that it is alive.
        deterministic: whether trials are proposed in batches of one a worker, and recorded in the
            order they were proposed, so that timing decides nothing.
    """

    def __init__(
        self,
        parts: Parts,
        objectives: Sequence[Objective],
        quality: Objective,
        limits: Limits,
        *,
        seed: int,
        past: Sequence[TrialRecord] = (),
        beat_seconds: float = BEAT_SECONDS,
        deterministic: bool = False,
    ) -> None:
        self._parts, self._objectives, self._quality = parts, tuple(objectives), quality
        self._limits, self._seed = limits, seed
        self._ran, self._seen = count_run(past), past[-1].number if past else -1
        # Of two that trained the same at once, the first counts, as it did when they were recorded.
        trained = [trial for trial in reversed(past) if _is_trained(trial)]
        self._trained = {trial.training: trial.number for trial in trained}
        self._take_up(past)
        self._beat_seconds, self._deterministic = beat_seconds, deterministic
        self._clock = parts.stored.now() - time.monotonic()
        self._drained: float | None = None
        self._running: dict[str, _Running] = {}
        self._own: dict[str, _Own] = {}
        self._held: dict[str, Finished | Failed] = {}
        self._refusals, self._exhausted = 0, False
        self._beaten = time.monotonic()
        self._measuring = 0.0

    def run(self) -> Why:
        """Runs until a limit or the space ends, and says which.

        Raises:
            StorageError: the database or the disk cannot be written.
            StudyFailedError: workers cannot start.
        """
        while True:
            why = self._fill()
            if why and not self._running and self._over(why):
                return why
            if self._drained is not None and time.monotonic() > self._drained:
                return "drained"
            if self._limits.seconds_left() < -GRACE_SECONDS:
                self._cut()
                return "time"
            self._handle(self._parts.engine.wait(self._patience()))
            self._beat()
            if not self._running:
                self._catch_up()

    def drain(self, seconds: float) -> None:
        """Starts no further trial, and ends when those that run have, or after so many seconds."""
        self._drained = time.monotonic() + seconds

    def _take_up(self, past: Sequence[TrialRecord]) -> None:
        """Goes on with what may be derived from the trainings that lie here."""
        for trial in past:
            self._parts.after_parts.learn(trial)
        trained = {number: training for training, number in self._trained.items()}
        for trial in past:
            if trial.number in trained and self._parts.shelf.has(trial.training):
                self._parts.after_parts.open(trial)

    def _fill(self) -> Why | None:
        """Gives every free worker a trial; says why where it may not."""
        if self._deterministic and self._running:
            return self._closed()
        while len(self._running) < self._parts.engine.workers:
            why: Why | Waits | None = self._ended()
            if not why and not self._adopt() and not self._derive():
                why = self._closed() or self._propose()
            if why:
                return None if why == "waits" else why
            self._beat()
            if self._running and not self._deterministic:
                self._handle(self._parts.engine.wait(0.0))
        return None

    def _over(self, why: Why) -> bool:
        """Whether nothing more can come: what others run may be lost, and is then run here."""
        waits = why in ("trials", "exhausted")
        return not waits or not self._parts.stored.claims.running()

    def _ended(self) -> Why | None:
        """Why no trial may start, not even one that waits."""
        if self._drained is not None:
            return "drained"
        return "time" if self._limits.seconds_left() <= 0 else None

    def _closed(self) -> Why | None:
        """Why no further trial may start."""
        why = self._ended()
        if why:
            return why
        room = self._parts.stored.claims.room()
        if room is not None and room <= 0:
            return "trials"
        if self._exhausted and not self._parts.proposals.pending:
            return "exhausted"
        return "refused" if self._refusals >= MOST_REFUSALS else None

    def _adopt(self) -> bool:
        """Takes a trial that waits, or that another process has lost, if there is one."""
        row = self._parts.stored.claims.adopt(self._parts.worker)
        if row is None:
            return False
        configuration = Configuration.from_dict(row.configuration)
        proposal = Proposal(configuration, row.origin, seed=row.seed, uuid=row.uuid)
        self._parts.proposals.take(proposal)
        if row.losses > MOST_LOSSES:
            reason = f"The process that ran it was lost {row.losses} times."
            self._refuse(proposal, "failed", reason)
        elif priced := self._priced(proposal):
            self._run(proposal, priced, row)
            return True
        # It was begun, and will not be gone on with.
        self._parts.shelf.discard_lost(row.digest)
        if row.training not in self._needed():
            self._parts.shelf.drop(row.training)
        return True

    def _derive(self) -> bool:
        """Starts a trial from a training that is kept, if one is worth it."""
        derived = self._parts.after_parts.next(self._parts.shelf.front)
        if derived is None:
            self._parts.shelf.clear(self._needed())
            return False
        proposal = Proposal(derived.configuration, DERIVED)
        if self._parts.shelf.has(derived.training) and (priced := self._priced(proposal)):
            self._start(self._parts.proposals.take(proposal), priced)
        return True

    def _propose(self) -> Why | Waits | None:
        """Starts one trial, or records why it is not worth it; one whose training runs here waits.

        Training the same twice at once takes longer than to derive one from the other.
        """
        self._catch_up()
        begun = {r.training for r in self._running.values() if r.job.keep and r.row.parent is None}
        proposals, waiting = self._parts.proposals, list[Proposal]()
        try:
            while len(waiting) < MOST_WAITING:
                proposal = proposals.next()
                self._exhausted = proposal is None
                if proposal is None:
                    break
                priced = self._priced(proposal)
                if priced is None:
                    return None
                if self._parts.after_parts.training_of(proposal.configuration) not in begun:
                    return self._start(proposal, priced)
                waiting.append(proposal)
            return "waits" if waiting else None
        finally:
            for one in reversed(waiting):
                proposals.put_back(one)

    def _priced(self, proposal: Proposal) -> Priced | None:
        """The price of a configuration worth running; else None, and it is recorded why."""
        try:
            priced = self._parts.pricing(proposal.configuration)
        except Infeasible as error:
            self._refuse(proposal, "pruned", shorten(str(error)))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the study goes on
            self._refuse(proposal, "failed", reason_of(error))
        else:
            if not priced.refused:
                return priced
            self._refuse(proposal, "pruned", bounds_broken(priced, self._objectives), priced)
        return None

    def _start(self, proposal: Proposal, priced: Priced) -> Why | None:
        """Runs a configuration that nobody else has."""
        configuration = proposal.configuration
        training = self._parts.after_parts.training_of(configuration)
        row = RunningTrial(
            uuid=uuid.uuid4().hex,
            digest=configuration.digest,
            configuration=configuration.as_dict(),
            seed=derive_seed(self._seed, training, 0),
            origin=proposal.origin,
            training=training,
            parent=self._trained.get(training) if self._parts.shelf.has(training) else None,
            started=self._now(),
        )
        match self._parts.stored.claims.claim(row, self._parts.worker):
            case "taken":
                self._run(proposal, priced, row)
            case "full":
                self._parts.proposals.put_back(proposal)
                return "trials"
            case "known" | "running":
                self._parts.proposals.leave(proposal)
        return None

    def _run(self, proposal: Proposal, priced: Priced, row: RunningTrial) -> None:
        """Gives a trial of this process to a free worker."""
        limits = self._limits.trial_limit(self._measuring), self._limits.end()
        run = f"{row.digest}-{uuid.uuid4().hex[:8]}"
        training = self._parts.after_parts.training_of(proposal.configuration)
        keep = self._parts.after_parts.possible(proposal.configuration)
        job = Job(row.digest, row.configuration, row.seed, training, run, *limits, keep=keep)
        self._parts.shelf.hold(training)
        worker = self._parts.engine.start(job)
        self._refusals = 0
        self._running[row.digest] = _Running(proposal, priced, row, job, worker, list(row.curve))
        title = title_of(proposal.configuration)
        self._tell(TrialStarted(row.digest, title, worker, proposal.origin))

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Reported():
                    self._judge(event)
                case Finished() | Failed():
                    self._held[event.job.digest] = event
                case Started():
                    self._running[event.job.digest].began = time.monotonic()
        if not self._deterministic or len(self._held) == len(self._running):
            for digest in [digest for digest in self._running if digest in self._held]:
                self._end(self._held.pop(digest))

    def _judge(self, report: Reported) -> None:
        """Lets a training go on, or ends it where it can no longer reach the front."""
        running = self._running[report.job.digest]
        # A training that was resumed may repeat what was known of it.
        running.curve = [point for point in running.curve if point.epoch < report.epoch]
        point = CurvePoint(report.epoch, report.quality, report.standard_error, report.seconds)
        running.curve.append(point)
        hopeless = self._parts.rule.stops(_standing(running, self._quality, report.seconds))
        if hopeless:
            running.hopeless = report.epoch
        self._parts.engine.answer(report.job, proceed=not hopeless)
        shown = TrialReported(report.job.digest, report.epoch, report.epochs, report.quality)
        self._tell(shown)

    def _end(self, event: Finished | Failed) -> None:
        running = self._running.pop(event.job.digest)
        if isinstance(event, Finished):
            running.curve = [CurvePoint(*point) for point in event.curve] or running.curve
            if running.row.parent is not None:
                running.curve = []  # the parent's
            spent = time.monotonic() - running.began
            self._measuring = max(self._measuring, spent - event.train_seconds)
        if isinstance(event, Failed):
            self._end_failed(running, event)
        elif event.stopped == "early":
            reason = f"Stopped after epoch {running.hopeless}: it could not reach the front."
            self._record(running, "pruned", reason, event)
        elif wrong := self._unusable(event):
            self._record(running, "failed", f"DivergenceError: {wrong}", event)
        else:
            self._record(running, "complete", _time_note(event), event)

    def _end_failed(self, running: _Running, event: Failed) -> None:
        died = event.how == "died" and running.row.attempt < MOST_ATTEMPTS
        if died or event.how == "storage":
            self._give_back(running, running.row.attempt + died, event.reason)
            if event.how == "storage":
                raise StorageError(event.reason)
            return
        ended = event.how == "overtime" and self._limits.seconds_left() <= 0
        state: State = "pruned" if event.how == "infeasible" or ended else "failed"
        self._record(running, state, TIME_OVER if ended else event.reason)

    def _unusable(self, event: Finished) -> str | None:
        """What is wrong with a finished trial's measurements."""
        for objective in self._objectives:
            value = event.measurements.get(objective.name, (math.nan, None))[0]
            if not math.isfinite(value):
                return f"{objective.name} must be a finite number, got {value}."
        return None

    def _cut(self) -> None:
        """Ends what still runs well after the deadline."""
        self._parts.engine.close()
        for running in list(self._running.values()):
            self._record(running, "pruned", TIME_OVER)
        self._running.clear()

    def _give_back(self, running: _Running, attempt: int, reason: str) -> None:
        """Lets a trial wait for whoever takes it."""
        self._forget(running)
        self._parts.stored.claims.release(running.row.uuid, self._parts.worker, attempt)
        self._parts.proposals.leave(running.proposal)
        self._tell(TrialRequeued(running.row.digest, reason))

    def _lose(self, running: _Running) -> None:
        """Ends a trial that another process has taken over."""
        self._running.pop(running.row.digest)
        self._held.pop(running.row.digest, None)
        self._parts.engine.cancel(running.job)
        self._forget(running)
        self._parts.proposals.leave(running.proposal)
        self._tell(TrialRequeued(running.row.digest, _TAKEN_OVER))

    def _forget(self, running: _Running) -> None:
        """Removes what a run that is not recorded left on the disk, but its training."""
        self._parts.shelf.discard(running.job.run)
        self._parts.shelf.let_go(running.training)

    def _refuse(
        self, proposal: Proposal, state: State, reason: str, priced: Priced | None = None
    ) -> None:
        """Records a configuration that never ran."""
        self._refusals += 1
        now = self._now()
        configuration = proposal.configuration
        costs = priced.low if priced else {}
        trial = FinishedTrial(
            uuid=proposal.uuid or uuid.uuid4().hex,
            digest=configuration.digest,
            configuration=configuration.as_dict(),
            state=state,
            reason=reason,
            measurements={
                o.name: Measurement(costs[o.name]) for o in self._objectives if o.name in costs
            },
            violations=priced.violations if priced else {},
            seed=derive_seed(self._seed, configuration.digest, 0),
            origin=proposal.origin,
            training="",
            started=now,
            finished=now,
        )
        self._keep(trial, _Own(proposal, {}, ()))

    def _record(
        self, running: _Running, state: State, reason: str | None, event: Finished | None = None
    ) -> None:
        row = running.row
        measured = self._measurements(running, event)
        trial = FinishedTrial(
            uuid=row.uuid,
            digest=row.digest,
            configuration=row.configuration,
            state=state,
            reason=reason,
            measurements=measured,
            violations=violations_of(self._objectives, measured),
            seed=row.seed,
            origin=row.origin,
            training=running.training,
            parent=row.parent,
            worker=f"{self._parts.name}/{running.worker}",
            train_seconds=event.train_seconds if event else _seconds_of(running),
            started=row.started,
            finished=self._now(),
            artefact=self._artefact(event) if event and state == "complete" else None,
        )
        kept = self._keep(trial, _Own(running.proposal, running.priced.high, running.curve))
        if not kept:
            self._forget(running)
            return
        if state != "complete":
            self._parts.shelf.discard(running.job.run)
        if row.losses:
            self._parts.shelf.discard_lost(row.digest, but=running.job.run)
        self._tidy(trial, keep=running.job.keep)

    def _tidy(self, trial: FinishedTrial, *, keep: bool) -> None:
        """Removes the trainings that nobody needs any more."""
        needed = self._needed()
        if not (keep and trial.training in self._trained) and trial.training not in needed:
            self._parts.shelf.drop(trial.training)
        self._parts.shelf.clear(needed)

    def _needed(self) -> set[str]:
        """The trainings of trials on their way here, and those that others may be derived from."""
        begun = {running.training for running in self._running.values()}
        return begun | self._parts.after_parts.trainings

    def _artefact(self, event: Finished) -> Artefact | None:
        """The model written, its path from the study's folder, which may be moved."""
        if not event.artefact:
            return None
        path = self._parts.shelf.relative(Path(event.artefact))
        return Artefact(path, event.artefact_sha256, event.artefact_bytes)

    def _measurements(self, running: _Running, event: Finished | None) -> dict[str, Measurement]:
        """What is known: all that was measured, or the last quality and the price."""
        if event is not None:
            found = event.measurements.items()
            return {name: Measurement(*pair) for name, pair in found if math.isfinite(pair[0])}
        costs = running.priced.low
        known = {o.name: Measurement(costs[o.name]) for o in self._objectives if o.name in costs}
        if running.curve and math.isfinite(running.curve[-1].quality):
            last = running.curve[-1]
            known[self._quality.name] = Measurement(last.quality, last.standard_error)
        return known

    def _keep(self, trial: FinishedTrial, own: _Own) -> bool:
        """Writes a trial to the database and learns from it; False where it is another's."""
        stored, worker = self._parts.stored, self._parts.worker
        place = self._parts.place(own.proposal.configuration)
        if stored.record(trial, worker=worker, place=place, curve=own.curve) is None:
            self._parts.proposals.leave(own.proposal)
            return False
        self._own[trial.uuid] = own
        self._catch_up()
        return True

    def _catch_up(self) -> None:
        """Learns from all that was recorded since, here and elsewhere, in the order of numbers."""
        for record in self._parts.stored.trials(after=self._seen):
            self._seen = record.number
            self._ran += count_run([record])
            self._learn(record)

    def _learn(self, record: TrialRecord) -> None:
        """Teaches the sampler and the rule, and puts the trial on the shelf."""
        own = self._own.pop(record.uuid, None)
        configuration = Configuration.from_dict(record.configuration)
        proposal = own.proposal if own else Proposal(configuration, record.origin)
        self._parts.proposals.tell(proposal, lesson_of(record, self._objectives))
        self._parts.after_parts.learn(record)
        if _is_trained(record):
            self._trained.setdefault(record.training, record.number)
            first = self._trained[record.training] == record.number
            if own is not None and first and self._parts.shelf.has(record.training):
                self._parts.after_parts.open(record)
        shelf = self._parts.shelf
        dropped = shelf.add(record)
        if dropped:
            self._parts.stored.forget_artefacts(dropped)
        if record.state == "complete":
            self._learn_standing(record, own)
        self._tell(
            TrialFinished(
                record,
                title_of(configuration),
                self._ran,
                any(member.number == record.number for member in shelf.front),
                by_quality(shelf.front, self._quality),
                shelf.hypervolume,
            )
        )

    def _learn_standing(self, record: TrialRecord, own: _Own | None) -> None:
        # What the plugins here cannot price takes no part.
        with contextlib.suppress(AutomlRecError):
            if own is None:
                own = self._known_of(record)
            curve = () if record.parent is not None else own.curve  # the parent has taught it
            self._parts.rule.add(standing_of(record, curve, own.high, self._quality))

    def _known_of(self, record: TrialRecord) -> _Own:
        """What can be known here of a trial that another process recorded."""
        proposal = Proposal(Configuration.from_dict(record.configuration), record.origin)
        curve = self._parts.stored.curves(record.number).get(record.number, ())
        return _Own(proposal, self._parts.pricing(proposal.configuration).high, curve)

    def _beat(self) -> None:
        """Says now and then that this process and its trials are alive, and hears which are."""
        now = time.monotonic()
        if now - self._beaten < self._beat_seconds:
            return
        self._beaten = now
        claims, worker = self._parts.stored.claims, self._parts.worker
        curves = {running.row.uuid: running.curve for running in self._running.values()}
        owned = claims.heartbeat(worker, curves)
        for running in list(self._running.values()):
            if running.row.uuid not in owned:
                self._lose(running)
        for stray in owned - curves.keys():
            # It was given to this process while the connection was lost.
            claims.release(stray, worker)

    def _now(self) -> float:
        """The database's time, by this machine's steady clock."""
        return self._clock + time.monotonic()

    def _patience(self) -> float:
        """Seconds until something must be done even if nothing happens."""
        beat = self._beaten + self._beat_seconds - time.monotonic()
        return max(0.0, min(beat, self._limits.seconds_left() + GRACE_SECONDS, 1.0))

    def _tell(self, event: TrialStarted | TrialReported | TrialFinished | TrialRequeued) -> None:
        for listener in self._parts.listeners:
            listener(event)


_TAKEN_OVER = "This process was silent for so long that another has taken the trial over."


def count_run(trials: Sequence[TrialRecord]) -> int:
    """How many trials count against the budget: those that a worker had, but for derived ones."""
    return sum(trial.worker is not None and trial.origin != DERIVED for trial in trials)


def _is_trained(trial: TrialRecord) -> bool:
    """Whether others may share what it trained itself."""
    return trial.state == "complete" and trial.parent is None and bool(trial.training)


def _standing(running: _Running, quality: Objective, seconds: float) -> Standing:
    costs = {**running.priced.low, "train_seconds": seconds}
    curve = upward(running.curve, quality)
    return Standing(running.model, costs, curve, max(value for _, value in curve))


def _time_note(event: Finished) -> str | None:
    return CUT_SHORT if event.stopped == "time" else None


def _seconds_of(running: _Running) -> float | None:
    return running.curve[-1].seconds if running.curve else None
