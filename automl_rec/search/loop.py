"""The loop of a search: propose, price, run, record, until the budget or the space ends."""

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from automl_rec.errors import Infeasible
from automl_rec.objectives.objective import Measurement, Objective
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
    numbered,
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
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import (
    Artefact,
    CurvePoint,
    FinishedTrial,
    RunningTrial,
    State,
    TrialRecord,
)
from automl_rec.storage.stored_study import StoredStudy

Why: TypeAlias = Literal["trials", "time", "exhausted", "refused"]
BEAT_SECONDS = 5.0
GRACE_SECONDS = 5.0
MOST_ATTEMPTS = 2
MOST_REFUSALS = 1000
"""So many proposals in a row that no bound lets pass: there will be no other."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the loop ends.

    Attributes:
        trials: how many may run, those of earlier runs included; None for no limit.
        deadline: by `time.monotonic`; None for no limit.
        trial_seconds: wall time of one trial, which is ended beyond it; None for no limit.
        share_seconds: wall time after which a training ends with its best epoch, so that no trial
            takes a study's time for itself; None for no limit.
    """

    trials: int | None
    deadline: float | None
    trial_seconds: float | None
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
    """What the loop joins."""

    stored: StoredStudy
    owner: Owner
    engine: Engine
    proposals: Proposals
    pricing: Pricing
    rule: Rule
    shelf: Shelf
    place: Callable[[Configuration], Place | None]
    listeners: Sequence[Listener] = ()


@dataclass
class _Running:
    """A trial that a worker has."""

    proposal: Proposal
    priced: Priced
    row: RunningTrial
    run: str
    curve: list[CurvePoint] = field(default_factory=list)
    hopeless: int | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def model(self) -> str:
        return self.proposal.configuration.model.name


class Loop:
    """Runs the trials of one study.

    Args:
        parts: what it joins.
        objectives: of the study.
        quality: the one that training watches.
        limits: when it ends.
        seed: of the study.
        ran: how many trials ran before.
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
        ran: int = 0,
        deterministic: bool = False,
    ) -> None:
        self._parts, self._objectives, self._quality = parts, tuple(objectives), quality
        self._limits, self._seed, self._ran = limits, seed, ran
        self._deterministic = deterministic
        self._running: dict[str, _Running] = {}
        self._held: dict[str, Finished | Failed] = {}
        self._refusals, self._exhausted = 0, False
        self._beaten = time.monotonic()
        self._measuring = 0.0

    def run(self) -> Why:
        """Runs until a limit or the space ends, and says which.

        Raises:
            StorageError: the database cannot be written.
            StudyFailedError: workers cannot start.
        """
        while True:
            why = self._fill()
            if why and not self._running:
                return why
            if self._limits.seconds_left() < -GRACE_SECONDS:
                self._cut()
                return "time"
            self._handle(self._parts.engine.wait(self._patience()))
            self._beat()

    def _fill(self) -> Why | None:
        """Gives every free worker a trial; says why where it may not."""
        if self._deterministic and self._running:
            return self._closed()
        while len(self._running) < self._parts.engine.workers:
            why = self._closed()
            if why:
                return why
            self._propose()
            if self._running and not self._deterministic:
                self._handle(self._parts.engine.wait(0.0))
        return None

    def _closed(self) -> Why | None:
        """Why no further trial may start."""
        limit = self._limits.trials
        if limit is not None and self._ran + len(self._running) >= limit:
            return "trials"
        if self._limits.seconds_left() <= 0:
            return "time"
        if self._exhausted and not self._parts.proposals.pending:
            return "exhausted"
        return "refused" if self._refusals >= MOST_REFUSALS else None

    def _propose(self) -> None:
        """Starts one trial, or records why it is not worth it."""
        proposal = self._parts.proposals.next()
        if proposal is None:
            self._exhausted = True
            return
        self._exhausted = False
        try:
            priced = self._parts.pricing(proposal.configuration)
        except Infeasible as error:
            self._refuse(proposal, "pruned", shorten(str(error)))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the study goes on
            self._refuse(proposal, "failed", reason_of(error))
        else:
            if priced.refused:
                self._refuse(proposal, "pruned", bounds_broken(priced, self._objectives), priced)
            else:
                self._start(proposal, priced)

    def _start(self, proposal: Proposal, priced: Priced) -> None:
        configuration, digest = proposal.configuration, proposal.configuration.digest
        seed = derive_seed(self._seed, digest, 0) if proposal.seed is None else proposal.seed
        limits = self._limits.trial_limit(self._measuring), self._limits.end()
        trial = proposal.uuid or uuid.uuid4().hex
        run = f"{digest}-{uuid.uuid4().hex[:8]}"
        job = Job(digest, configuration.as_dict(), seed, trial, run, *limits)
        worker = self._parts.engine.start(job)
        now = time.time()
        row = RunningTrial(
            uuid=trial,
            digest=digest,
            configuration=job.configuration,
            seed=seed,
            origin=proposal.origin,
            owner=self._parts.owner,
            started=now,
            heartbeat=now,
            worker=worker,
            attempt=proposal.attempt,
        )
        self._parts.stored.start(row)
        self._refusals = 0
        self._running[digest] = _Running(proposal, priced, row, run)
        self._tell(TrialStarted(digest, title_of(configuration), worker, proposal.origin))

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
            spent = time.monotonic() - running.began
            self._measuring = max(self._measuring, spent - event.train_seconds)
        if isinstance(event, Failed):
            self._end_failed(running, event)
        elif event.stopped == "early":
            reason = f"Stopped after epoch {running.hopeless}: it could not reach the front."
            self._record(running, "pruned", reason, event)
        elif wrong := self._unusable(event):
            self._parts.shelf.discard(event.job.run)
            self._record(running, "failed", f"DivergenceError: {wrong}", event)
        else:
            self._record(running, "complete", _time_note(event), event)

    def _end_failed(self, running: _Running, event: Failed) -> None:
        proposal = running.proposal
        self._parts.shelf.discard(event.job.run)
        if event.how == "died" and proposal.attempt < MOST_ATTEMPTS:
            self._parts.proposals.requeue(_again(proposal, running.row))
            self._tell(TrialRequeued(event.job.digest, event.reason))
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
            self._parts.shelf.discard(running.run)
            self._record(running, "pruned", TIME_OVER)
        self._running.clear()

    def _refuse(
        self, proposal: Proposal, state: State, reason: str, priced: Priced | None = None
    ) -> None:
        """Records a configuration that never ran."""
        self._refusals += 1
        now = time.time()
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
            started=now,
            finished=now,
        )
        self._keep(proposal, trial, ())

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
            worker=row.worker,
            train_seconds=event.train_seconds if event else _seconds_of(running),
            started=row.started,
            finished=time.time(),
            artefact=self._artefact(event) if event and state == "complete" else None,
        )
        self._ran += 1
        self._keep(running.proposal, trial, running.curve)
        if state == "complete":
            standing = standing_of(trial, running.curve, running.priced.high, self._quality)
            self._parts.rule.add(standing)

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

    def _keep(
        self, proposal: Proposal, trial: FinishedTrial, curve: Sequence[CurvePoint]
    ) -> TrialRecord:
        """Writes a trial to the database, tells the sampler, and puts it on the shelf."""
        place = self._parts.place(proposal.configuration)
        number = self._parts.stored.record(trial, place=place, curve=curve)
        record = numbered(trial, number)
        self._parts.proposals.tell(proposal, lesson_of(record, self._objectives))
        dropped = self._parts.shelf.add(record)
        if dropped:
            self._parts.stored.forget_artefacts(dropped)
        shelf = self._parts.shelf
        self._tell(
            TrialFinished(
                record,
                title_of(proposal.configuration),
                self._ran,
                any(member.number == number for member in shelf.front),
                by_quality(shelf.front, self._quality),
                shelf.hypervolume,
            )
        )
        return record

    def _beat(self) -> None:
        """Says now and then that this process and its trials are alive."""
        now = time.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            curves = {running.row.uuid: running.curve for running in self._running.values()}
            self._parts.stored.heartbeat(self._parts.owner, time.time(), curves)

    def _patience(self) -> float:
        """Seconds until something must be done even if nothing happens."""
        beat = self._beaten + BEAT_SECONDS - time.monotonic()
        return max(0.0, min(beat, self._limits.seconds_left() + GRACE_SECONDS, 1.0))

    def _tell(self, event: TrialStarted | TrialReported | TrialFinished | TrialRequeued) -> None:
        for listener in self._parts.listeners:
            listener(event)


def _standing(running: _Running, quality: Objective, seconds: float) -> Standing:
    costs = {**running.priced.low, "train_seconds": seconds}
    curve = upward(running.curve, quality)
    return Standing(running.model, costs, curve, max(value for _, value in curve))


def _again(proposal: Proposal, row: RunningTrial) -> Proposal:
    return Proposal(
        proposal.configuration,
        proposal.origin,
        proposal.suggestion,
        row.seed,
        row.attempt + 1,
        row.uuid,
    )


def _time_note(event: Finished) -> str | None:
    return CUT_SHORT if event.stopped == "time" else None


def _seconds_of(running: _Running) -> float | None:
    return running.curve[-1].seconds if running.curve else None
