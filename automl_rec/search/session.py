"""One process on one study, alone or with others: everything joined, run, and put away again."""

import contextlib
import importlib.metadata
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl_rec.data import Prepared
from automl_rec.errors import AutomlRecError, StudyMismatchError
from automl_rec.objectives.objective import Objective
from automl_rec.registry import Registry
from automl_rec.search.after_parts import AfterParts
from automl_rec.search.baselines import baselines, published
from automl_rec.search.early_stopping import Rule, make_rule
from automl_rec.search.engine import Engine, Setup
from automl_rec.search.events import Listener, StudyEnded, StudyStarted
from automl_rec.search.lessons import by_quality, lesson_of, standing_of, watched
from automl_rec.search.loop import BEAT_SECONDS, Limits, Loop, Parts, count_run
from automl_rec.search.pricing import Pricing
from automl_rec.search.proposals import Proposal, Proposals
from automl_rec.search.references import References, constant_answer
from automl_rec.search.samplers import derive_seed, make_sampler
from automl_rec.search.shelf import Shelf
from automl_rec.search.suggest import place
from automl_rec.search.suggestions import Suggestions
from automl_rec.search.summary import sentences
from automl_rec.space.configuration import Configuration
from automl_rec.space.data_section import written_data
from automl_rec.space.extension import extension
from automl_rec.space.space import Space
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import Manifest, Role, StoredBudget, TrialRecord
from automl_rec.storage.stored_study import StoredStudy

if TYPE_CHECKING:
    from automl_rec.price import Price

DRAIN_SECONDS = 20.0
"""How long trials may still run in a process that is told to end: platforms wait for 30 s."""
BEATS = 4
"""A process says so often within its lease that it is alive."""
TRAININGS = 8
"""A training ends with its best epoch after this part of a study's time."""


@dataclass(frozen=True, slots=True)
class Session:
    """A process about to run a study's trials.

    Attributes:
        manifest: what the study is made from now.
        pricing: configuration -> price, on the study's catalog.
        budget: trials and wall time, those of earlier runs included.
        role: whether it searches the study, one process at a time, or joins it as a worker.
        engine_name: of the engine, for those who look at the study.
        drain_seconds: how long trials may still run when the process is told to end (SIGTERM).
        deterministic: see `Loop`.
    """

    space: Space
    objectives: tuple[Objective, ...]
    registry: Registry
    data: Prepared
    manifest: Manifest
    stored: StoredStudy
    engine: Engine
    pricing: Pricing
    folder: Path
    budget: StoredBudget
    role: Role = "search"
    engine_name: str = "local"
    listeners: tuple[Listener, ...] = ()
    without: tuple[str, ...] = ()
    drain_seconds: float = DRAIN_SECONDS
    deterministic: bool = False

    def run(self) -> None:
        """Runs the study to its end, to the next Ctrl-C, or until it is told to end.

        Raises:
            KeyboardInterrupt: after everything is put away and the listeners know.
            StorageError: another process searches the study, or the database refuses.
            StudyFailedError: workers cannot start.
        """
        lease = self.space.search.lease
        worker = self.stored.claims.join(
            Owner.current(),
            self.role,
            engine=self.engine_name,
            trials_at_once=self.engine.workers,
            lease_seconds=lease,
        )
        try:
            self._search(worker)
        finally:
            self.engine.close()
            self.stored.claims.leave(worker)

    def _search(self, worker: int) -> None:
        changes = self._changes()
        if self.role == "search":
            self.stored.extend(self.manifest)
            self.stored.set_budget(self.budget)
        past = self.stored.trials()
        rule, note = self._rule(past)
        shelf = Shelf(self.folder, self.objectives, past)
        after_parts = self._after_parts()
        shelf.sweep(self.stored, after_parts.possible)
        proposals = self._proposals(past, worker)
        seconds = self.budget.seconds
        limits = Limits(
            self._deadline(past),
            self.budget.trial_seconds,
            None if seconds is None else seconds / TRAININGS,
        )
        self._open(shelf)
        self._announce(past, limits, (*self.data.notes, *changes, *([note] if note else [])))
        parts = Parts(
            self.stored,
            worker,
            f"{socket.gethostname()}:{os.getpid()}",
            self.engine,
            proposals,
            self.pricing,
            rule,
            shelf,
            after_parts,
            lambda configuration: place(self.space, configuration),
            self.listeners,
        )
        loop = Loop(
            parts,
            self.objectives,
            watched(self.objectives),
            limits,
            seed=self._seed,
            past=past,
            beat_seconds=min(BEAT_SECONDS, self.space.search.lease / BEATS),
            deterministic=self.deterministic,
        )
        try:
            with _told_to_end(lambda: loop.drain(self.drain_seconds)):
                why = loop.run()
        except KeyboardInterrupt:
            self.engine.close()
            self._conclude("interrupted", shelf, proposals.repeats)
            raise
        self._conclude(why, shelf, proposals.repeats)

    @property
    def _seed(self) -> int:
        return self.stored.manifest.seed

    @property
    def _references(self) -> References:
        return references_of(self.stored.manifest, self.registry)

    def _rule(self, past: Sequence[TrialRecord]) -> tuple[Rule, str | None]:
        """The rule of early stopping, which remembers what earlier runs finished."""
        search = self.space.search
        rule, note = make_rule(
            search.early_stopping,
            self.objectives,
            min_epochs=search.min_epochs,
            min_finished=search.min_finished,
        )
        complete = [trial for trial in past if trial.state == "complete"]
        curves = self.stored.curves() if complete else {}
        for trial in complete:
            # What a plugin of today cannot price any more takes no part.
            with contextlib.suppress(AutomlRecError):
                priced = self.pricing(Configuration.from_dict(trial.configuration))
                curve = curves.get(trial.number, ())
                rule.add(standing_of(trial, curve, priced.high, watched(self.objectives)))
        return rule, note

    def _proposals(self, past: Sequence[TrialRecord], worker: int) -> Proposals:
        # Processes that began with the same trials must not all draw the same from them.
        who = (len(past),) if self.role == "search" else (len(past), worker)
        sampler = make_sampler(self.space.search.sampler, derive_seed(self._seed, "sampler", *who))
        suggestions = Suggestions(self.space, self.objectives, sampler)
        known = {trial.digest: lesson_of(trial, self.objectives) for trial in past}
        for trial in past:
            suggestions.learn(Configuration.from_dict(trial.configuration), known[trial.digest])
        starts = baselines(self.space, self.registry, self._fits, self.budget.trials)
        rest = published(self.space, self.budget.trials)
        first = [
            *(Proposal(start, "baseline") for start in starts),
            *(Proposal(start, "default") for start in rest),
        ]
        seed = derive_seed(self._seed, "draws", *who)
        return Proposals(self.space, suggestions, first, known, seed)

    def _after_parts(self) -> AfterParts:
        return AfterParts(
            self.space,
            self.objectives,
            self.pricing,
            self._training_part,
            most=self.space.search.after_parts,
            seed=self._seed,
        )

    def _training_part(self, configuration: Configuration) -> Configuration:
        # Imported here: whoever only reads a study is spared torch.
        from automl_rec.training_part import training_part

        return training_part(configuration, self.registry)

    def _fits(self, configuration: Configuration) -> bool:
        """Whether a configuration can be built within the bounds, as far as prices tell."""
        try:
            return not self.pricing(configuration).refused
        except AutomlRecError:
            return False

    def _deadline(self, past: Sequence[TrialRecord]) -> float | None:
        if self.budget.seconds is None:
            return None
        return time.monotonic() + self.budget.seconds - seconds_spent(past)

    def _open(self, shelf: Shelf) -> None:
        self.engine.open(
            Setup(
                data=str(self.data.folder),
                objectives=tuple(asdict(objective) for objective in self.objectives),
                artefacts=str(shelf.artefacts),
                trainings=str(shelf.trainings),
                without=self.without,
            )
        )

    def _changes(self) -> list[str]:
        """A sentence for every distribution, and all components, that are not as they were."""
        before, now = self.stored.manifest, self.manifest
        changed = [
            f"The study ran with {name} {before.plugins.get(name, '(absent)')}; installed is "
            f"{now.plugins.get(name, 'none')}."
            for name in sorted({*before.plugins, *now.plugins})
            if before.plugins.get(name) != now.plugins.get(name)
        ]
        if self.role == "search" and before.space_digest != now.space_digest:
            changed.append(extension(before.components, now.components))
        return changed

    def _announce(
        self, past: Sequence[TrialRecord], limits: Limits, notes: tuple[str, ...]
    ) -> None:
        event = StudyStarted(
            name=self.stored.manifest.name,
            folder=str(self.folder),
            objectives=self.objectives,
            workers=self.engine.workers,
            finished=len(past),
            ran=count_run(past),
            trials=self.budget.trials,
            seconds=None if limits.deadline is None else max(0.0, limits.seconds_left()),
            notes=notes,
        )
        for listener in self.listeners:
            listener(event)

    def _conclude(self, why: str, shelf: Shelf, repeats: int) -> None:
        front = by_quality(shelf.front, watched(self.objectives))
        told = sentences(self.stored.trials(), front, self.objectives, self._references, repeats)
        event = StudyEnded(why, (_ENDINGS[why], *told), front, shelf.hypervolume)
        for listener in self.listeners:
            listener(event)


_ENDINGS = {
    "trials": "The budget of trials is used; raise --trials to go on.",
    "time": "The time is used; raise --timeout to go on.",
    "exhausted": "Every configuration of the space has been tried.",
    "refused": "No further configuration keeps the bounds; widen them or the space.",
    "interrupted": "The search was interrupted; the same command goes on with it.",
    "drained": "The process was told to end; the same command goes on with what it left.",
}


@contextlib.contextmanager
def _told_to_end(drain: Callable[[], None]) -> Iterator[None]:
    """Drains on SIGTERM; a second one ends the process as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def answer(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        drain()

    before = signal.signal(signal.SIGTERM, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def manifest_of(
    name: str, space: Space, objectives: tuple[Objective, ...], data: Prepared, registry: Registry
) -> Manifest:
    """What a study of this space on these data is made from, now."""
    return Manifest(
        name=name,
        space_text=space.text,
        space_digest=space.digest,
        data_digest=data.digest,
        data={
            **data.description,
            "request": written_data(space.data),
            "folder": str(Path(space.path).absolute().parent),
            "constant": constant_answer(data),
        },
        objectives=objectives,
        plugins=plugin_versions(registry),
        environment={
            "automl-rec": _version("automl-rec"),
            "python": platform.python_version(),
            "torch": _version("torch"),
            "machine": f"{platform.system()} {platform.machine()}",
        },
        seed=space.search.seed,
        created=time.time(),
        components=space.plain,
    )


def references_of(manifest: Manifest, registry: Registry) -> References:
    """What the models of a stored study are compared with."""
    known = manifest.data
    return References.of(registry, known.get("task", "retrieval"), known.get("constant"))


def pricer(data: Prepared, registry: Registry) -> "Callable[[Configuration], Price]":
    """Who prices configurations on some data."""
    # Imported here: whoever only reads a study is spared torch.
    from automl_rec.price import price

    return lambda configuration: price(configuration, data.catalog, registry)


def check_seed(stored: StoredStudy, seed: int | None) -> None:
    """Refuses to continue a study with another seed.

    Raises:
        StudyMismatchError: the seed asked for is not the study's.
    """
    made = stored.manifest.seed
    if seed is not None and seed != made:
        raise StudyMismatchError(
            f"The study {stored.manifest.name!r} has seed {made}, asked for was {seed}. "
            f"Leave --seed out to go on with it, or search under another name with "
            f"--study NEWNAME."
        )


def plugin_versions(registry: Registry) -> Mapping[str, str]:
    """Distribution -> version of every plugin that gives components."""
    return {p.distribution: p.version for p in registry.plugins if p.state == "ok"}


def seconds_spent(trials: Sequence[TrialRecord]) -> float:
    """Wall time during which at least one trial ran."""
    spent, end = 0.0, float("-inf")
    for trial in sorted((t for t in trials if t.worker is not None), key=lambda t: t.started):
        spent += max(0.0, trial.finished - max(trial.started, end))
        end = max(end, trial.finished)
    return spent


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
