"""One search process on one study: everything joined, run, and put away again."""

import contextlib
import importlib.metadata
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from automl_rec.data import Prepared
from automl_rec.errors import AutomlRecError, StudyMismatchError
from automl_rec.objectives.objective import Objective
from automl_rec.registry import Registry
from automl_rec.search.baselines import baselines, published
from automl_rec.search.early_stopping import Rule, make_rule
from automl_rec.search.engine import Engine, Setup
from automl_rec.search.events import Listener, StudyEnded, StudyStarted
from automl_rec.search.lessons import by_quality, lesson_of, standing_of, watched
from automl_rec.search.loop import Limits, Loop, Parts
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
from automl_rec.space.space import Space
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import Manifest, TrialRecord
from automl_rec.storage.stored_study import StoredStudy

LEASE_SECONDS = 120.0
"""How long a search on another machine may be silent before its study is taken over."""


TRAININGS = 8
"""A training ends with its best epoch after this part of a study's time."""


@dataclass(frozen=True, slots=True)
class Session:
    """A search about to run.

    Attributes:
        pricing: configuration -> price, on the study's catalog.
        trials: budget, trials of earlier runs included; None for no limit.
        seconds: budget of wall time, that of earlier runs included; None for no limit.
        deterministic: see `Loop`.
    """

    space: Space
    objectives: tuple[Objective, ...]
    registry: Registry
    data: Prepared
    stored: StoredStudy
    engine: Engine
    pricing: Pricing
    folder: Path
    trials: int | None
    seconds: float | None
    listeners: tuple[Listener, ...] = ()
    without: tuple[str, ...] = ()
    deterministic: bool = False

    def run(self) -> None:
        """Runs the study to its end, or to the next Ctrl-C.

        Raises:
            KeyboardInterrupt: after everything is put away and the listeners know.
            StorageError: another process searches the study, or the database refuses.
            StudyFailedError: workers cannot start.
        """
        owner = Owner.current()
        self.stored.acquire(owner, time.time(), LEASE_SECONDS)
        try:
            self._search(owner)
        finally:
            self.engine.close()
            self.stored.release(owner)

    def _search(self, owner: Owner) -> None:
        past = self.stored.trials()
        rule, note = self._rule(past)
        shelf = Shelf(self._artefacts, self.objectives, past)
        proposals = self._proposals(past)
        limits = Limits(
            self.trials,
            self._deadline(past),
            self.space.budget.trial_seconds,
            None if self.seconds is None else self.seconds / TRAININGS,
        )
        self._open()
        self._announce(
            past, limits, (*self.data.notes, *self._changes(), *([note] if note else []))
        )
        parts = Parts(
            self.stored,
            owner,
            self.engine,
            proposals,
            self.pricing,
            rule,
            shelf,
            lambda configuration: place(self.space, configuration),
            self.listeners,
        )
        loop = Loop(
            parts,
            self.objectives,
            watched(self.objectives),
            limits,
            seed=self._seed,
            ran=count_run(past),
            deterministic=self.deterministic,
        )
        try:
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

    @property
    def _artefacts(self) -> Path:
        return self.folder / "artefacts"

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

    def _proposals(self, past: Sequence[TrialRecord]) -> Proposals:
        sampler = make_sampler(
            self.space.search.sampler, derive_seed(self._seed, "sampler", len(past))
        )
        suggestions = Suggestions(self.space, self.objectives, sampler)
        known = {trial.digest: lesson_of(trial, self.objectives) for trial in past}
        for trial in past:
            suggestions.learn(Configuration.from_dict(trial.configuration), known[trial.digest])
        starts = baselines(self.space, self.registry, self._fits, self.trials)
        rest = published(self.space, self.trials)
        first = [
            *self._interrupted(),
            *(Proposal(start, "baseline") for start in starts),
            *(Proposal(start, "default") for start in rest),
        ]
        seed = derive_seed(self._seed, "draws", len(past))
        return Proposals(self.space, suggestions, first, known, seed)

    def _fits(self, configuration: Configuration) -> bool:
        """Whether a configuration can be built within the bounds, as far as prices tell."""
        try:
            return not self.pricing(configuration).refused
        except AutomlRecError:
            return False

    def _interrupted(self) -> Iterator[Proposal]:
        """What ran when an earlier search of the study ended; this process owns it now."""
        for row in self.stored.running():
            configuration = Configuration.from_dict(row.configuration)
            yield Proposal(
                configuration, row.origin, None, row.seed, attempt=row.attempt, uuid=row.uuid
            )

    def _deadline(self, past: Sequence[TrialRecord]) -> float | None:
        if self.seconds is None:
            return None
        return time.monotonic() + self.seconds - seconds_spent(past)

    def _open(self) -> None:
        self.engine.open(
            Setup(
                data=str(self.data.folder),
                objectives=tuple(asdict(objective) for objective in self.objectives),
                artefacts=str(self._artefacts),
                trainings=str(self.folder / "trainings"),
                without=self.without,
            )
        )

    def _changes(self) -> list[str]:
        """A sentence for every distribution that is not as it was when the study began."""
        before, now = self.stored.manifest.plugins, plugin_versions(self.registry)
        return [
            f"The study began with {name} {before.get(name, '(absent)')}; installed is "
            f"{now.get(name, 'none')}."
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]

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
            trials=self.trials,
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
}


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
    )


def references_of(manifest: Manifest, registry: Registry) -> References:
    """What the models of a stored study are compared with."""
    known = manifest.data
    return References.of(registry, known.get("task", "retrieval"), known.get("constant"))


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


def count_run(trials: Sequence[TrialRecord]) -> int:
    """How many trials a worker had: these count against the budget."""
    return sum(trial.worker is not None for trial in trials)


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
