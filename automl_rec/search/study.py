"""Studies: run or continue one, and read what came of it."""

import contextlib
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from automl_rec import pareto
from automl_rec.data import prepare
from automl_rec.errors import NotStoredError, SpaceError, StorageError, StudyFailedError
from automl_rec.naming import is_folder_name
from automl_rec.objectives import resolve
from automl_rec.objectives.objective import Objective
from automl_rec.registry import Registry
from automl_rec.search.engine import Engine
from automl_rec.search.events import Listener
from automl_rec.search.lessons import watched
from automl_rec.search.local import LocalEngine, default_workers
from automl_rec.search.pick import parse_pick
from automl_rec.search.pricing import Pricing
from automl_rec.search.references import References
from automl_rec.search.session import Session, check_seed, manifest_of, pricer, references_of
from automl_rec.search.summary import above_references, commonest_reason, sentences
from automl_rec.search.wording import counted
from automl_rec.space.checker import read_space
from automl_rec.space.extension import extends
from automl_rec.space.space import Space
from automl_rec.storage.records import CurvePoint, Manifest, StoredBudget, TrialRecord
from automl_rec.storage.repository import Repository
from automl_rec.storage.url import default_url

if TYPE_CHECKING:
    from automl_rec.search.shipping import Shipped

RUNS = Path("runs")
LOGS = "logs"


@dataclass(frozen=True)
class Study:
    """A study as it was when it was opened.

    Attributes:
        folder: where its artefacts lie.
        url: of its database.
        manifest: what it was made from.
        trials: all recorded, by number.
    """

    folder: Path
    url: str = field(repr=False)
    manifest: Manifest
    trials: tuple[TrialRecord, ...]

    @classmethod
    def open(cls, study: str | Path, *, storage: str | None = None, out: Path | str = RUNS) -> Self:
        """Reads a study.

        Args:
            study: its name, or its folder.
            storage: database URL; the SQLite file in the study's folder if None.
            out: folder that holds the folders of studies.

        Raises:
            StorageError: there is no such study, or it cannot be read.
        """
        folder, url = place_of(study, storage, out)
        # A folder may be given as "." or by a link; the study has the name of what is meant.
        name = folder.resolve().name
        with Repository.open(url, create=False) as repository:
            stored = repository.study(name)
            return cls(folder, url, stored.manifest, tuple(stored.trials()))

    @property
    def name(self) -> str:
        """Its name."""
        return self.manifest.name

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Its objectives."""
        return self.manifest.objectives

    def front(self) -> tuple[TrialRecord, ...]:
        """The non-dominated trials that keep every bound, best first on the first objective.

        Where no trial keeps every bound: those that break them least (see `feasible`).
        """
        first = self.objectives[0]
        found = pareto.front(self.trials, self.objectives).trials
        return tuple(sorted(found, key=lambda t: first.sign * t.measurements[first.name].value))

    def feasible(self) -> bool:
        """Whether some trial keeps every bound, or none is complete."""
        return pareto.front(self.trials, self.objectives).feasible

    def knee(self) -> TrialRecord | None:
        """The trial of the front where giving up on one objective gains most on the others.

        Only those count whose quality is above that of popularity, or of a constant answer, by
        more than noise, if any is.
        """
        front = self.front()
        if not front:
            return None
        if not self.feasible():
            return front[0]
        known = references_of(self.manifest, Registry.discover())
        front = above_references(self.trials, front, watched(self.objectives), known) or front
        return front[pareto.knee(pareto.scaled(front, self.objectives))]

    def best_under(self, objective: str, bound: float) -> TrialRecord | None:
        """The trial of best quality on the front that keeps a bound, or None."""
        return pareto.best_under(self.front(), self.objectives, objective, bound)

    def hypervolumes(self) -> list[tuple[float, float]]:
        """(seconds since the first trial began, hypervolume) after each trial."""
        if not self.trials:
            return []
        began = min(trial.started for trial in self.trials)
        volumes = pareto.hypervolumes(self.trials, self.objectives)
        return [
            (trial.finished - began, float(volume))
            for trial, volume in zip(self.trials, volumes, strict=True)
        ]

    def trial(self, number: int) -> TrialRecord:
        """The trial of a number.

        Raises:
            NotStoredError: there is none.
        """
        if not 0 <= number < len(self.trials):
            raise NotStoredError(
                f"The study {self.name!r} has trials 0 to {len(self.trials) - 1}, asked for was "
                f"{number}. Choose one of them."
            )
        return self.trials[number]

    def sentences(self) -> tuple[str, ...]:
        """What came of it: counts, failures, and what the numbers do not show."""
        known = references_of(self.manifest, Registry.discover())
        return sentences(self.trials, self.front(), self.objectives, known)

    def picked(self, pick: str) -> TrialRecord:
        """The trial that a word names.

        Args:
            pick: ``"knee"``; ``"best"`` (in the first objective); ``"max-bytes=1MB"``, the best
                under a bound, likewise for every other objective to be minimised; or a number.

        Raises:
            StorageError: there is no such trial, or nothing was finished.
            SpaceError: the word names nothing.
        """
        wanted = parse_pick(pick, self.objectives)
        if wanted.kind == "trial":
            return self._completed(wanted.number)
        if wanted.kind == "knee":
            found = self.knee()
        elif wanted.kind == "best":
            found = next(iter(self.front()), None)
        else:
            found = self.best_under(wanted.objective, wanted.bound)
        if found is None:
            raise StorageError(
                f"The study {self.name!r} has no trial that is {pick}. "
                f"See automl-rec front {self.name}, or search longer."
            )
        return found

    def export(self, folder: Path | str, *, pick: str = "knee", confirm: int = 0) -> "Shipped":
        """Exports a trial of the front, measured on test now.

        Args:
            folder: to write.
            pick: see `picked`.
            confirm: trainings with other seeds, whose mean is measured too.

        Raises:
            StorageError: there is no such trial.
            StudyMismatchError: the data are not what they were.
            ExportError: the artefact cannot be written.
        """
        # Imported here: whoever only reads a study is spared torch.
        from automl_rec.search.shipping import ship

        trial = self.picked(pick)
        return ship(self.manifest, self.folder, trial, Path(folder), confirm=confirm)

    def _completed(self, number: int) -> TrialRecord:
        trial = self.trial(number)
        if trial.state != "complete":
            raise NotStoredError(
                f"The trial {number} of the study {self.name!r} must be complete to be exported, "
                f"but was {trial.state}. Choose one that automl-rec front {self.name} lists."
            )
        return trial

    def curves(self) -> dict[int, tuple[CurvePoint, ...]]:
        """Number of a trial -> its validations.

        Raises:
            StorageError: the database cannot be read.
        """
        with Repository.open(self.url, create=False) as repository:
            return repository.study(self.name).curves()


def place_of(study: str | Path, storage: str | None, out: Path | str) -> tuple[Path, str]:
    """The folder and the database URL of a study that is named, or whose folder is.

    Raises:
        NotStoredError: neither a study nor a folder can have that name.
    """
    given = Path(study)
    if not is_folder_name(given.absolute().name or "."):
        raise NotStoredError(
            f"A study must have the name of a folder, got {str(study)[:100]!r}. "
            f"See automl-rec studies."
        )
    folder = given if (given / "study.db").is_file() else Path(out) / study
    return folder, storage or default_url(folder.parent, folder.name)


def run(
    space: Space | str | Path,
    *,
    out: Path | str = RUNS,
    name: str | None = None,
    storage: str | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    workers: int | None = None,
    seed: int | None = None,
    without: Sequence[str] = (),
    deterministic: bool = False,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    listeners: Sequence[Listener] = (),
    registry: Registry | None = None,
) -> Study:
    """Searches a space, or goes on with the search of it.

    Args:
        space: a space file, or what was read from one.
        out: folder that holds the folders of studies.
        name: of the study; the space file's if None.
        storage: database URL; a SQLite file in the study's folder if None.
        trials: budget of trials, those of earlier runs included; the space's if None.
        seconds: budget of wall time, likewise.
        workers: how many trials run at once; the space's, or one a processor, if None.
        seed: of everything random; the space's if None.
        without: plugins to leave out.
        deterministic: whether two runs give the same trials, whatever their timing; workers then
            wait for each other. Objectives that are times must be left out of the space for it.
        engine: where trials run: in processes of this machine, or on a Ray cluster.
        address: of the cluster, ``HOST:PORT`` or ``"auto"``; one of this machine alone if None.
        listeners: hear what happens.
        registry: the installed components; discovered if None.

    Raises:
        SpaceError: the space is wrong.
        DataError: the data cannot be read.
        StudyMismatchError: the name stands for a study of another space, data or objectives.
        StorageError: the database refuses, or another process searches the study.
        StudyFailedError: every trial failed, or the workers cannot start.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    # Imported here: whoever only reads a study is spared torch.
    from automl_rec.evaluation import require_measurable

    registry = registry or Registry.discover(without=without)
    if not isinstance(space, Space):
        space = read_space(Path(space), registry)
    space = _adjusted(space, trials, seconds, workers, seed)
    objectives = resolve(space.objectives, space.data.task)
    name = _checked_name(Path(space.path).stem if name is None else name)
    folder = Path(out) / name
    url = storage or default_url(Path(out), name)
    with contextlib.ExitStack() as stack:
        undo = stack.enter_context(contextlib.ExitStack())
        undo.callback(unmake_folders, make_folder(folder))
        # Started first: their imports run while this process prepares the data.
        runner = _engine(engine, address, space, folder / LOGS)
        stack.callback(runner.close)
        data = prepare(space.data)
        require_measurable(data, objectives)
        repository = stack.enter_context(Repository.open(url))
        manifest = manifest_of(name, space, objectives, data, registry)
        stored = repository.create_study(manifest, _extended_by(manifest, registry))
        check_seed(stored, seed)
        undo.pop_all()
        session = Session(
            space=space,
            objectives=objectives,
            registry=registry,
            data=data,
            manifest=manifest,
            stored=stored,
            engine=runner,
            engine_name=engine,
            pricing=Pricing(pricer(data, registry), objectives),
            folder=folder,
            budget=StoredBudget(**asdict(space.budget)),
            listeners=tuple(listeners),
            without=tuple(without),
            deterministic=deterministic,
        )
        session.run()
    study = Study.open(folder, storage=url, out=out)
    _require_success(study, references_of(study.manifest, registry))
    return study


def _checked_name(name: str) -> str:
    """A study's name, which names its folder too.

    Raises:
        SpaceError: it is no name of a folder.
    """
    if not is_folder_name(name):
        raise SpaceError(
            f"The name of a study must be the name of a folder, without slashes, got {name!r}. "
            f"Name it with --study NAME; --out DIR says where its folder goes."
        )
    return name


def make_folder(folder: Path) -> list[Path]:
    """Makes a study's folder.

    Returns:
        The folders that were not there before, innermost first.

    Raises:
        StorageError: it cannot be made.
    """
    absent = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The study's folder {folder} cannot be made: {error.strerror}. "
            f"Choose another place with --out DIR."
        ) from error
    return absent


def unmake_folders(folders: Sequence[Path]) -> None:
    """Removes the folders of a study that never began, where nobody else has put anything."""
    for folder in folders[:1]:
        shutil.rmtree(folder / LOGS, ignore_errors=True)
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _adjusted(
    space: Space,
    trials: int | None,
    seconds: float | None,
    workers: int | None,
    seed: int | None,
) -> Space:
    """The space with what the caller said in place of its own budget and settings."""
    budget = space.budget
    budget = replace(
        budget,
        trials=budget.trials if trials is None else trials,
        seconds=budget.seconds if seconds is None else seconds,
    )
    search = space.search
    search = replace(
        search,
        workers=search.workers if workers is None else workers,
        seed=search.seed if seed is None else seed,
    )
    return replace(space, budget=budget, search=search)


def _extended_by(manifest: Manifest, registry: Registry) -> Callable[[Manifest], bool]:
    """Whether a study's space may become that of a manifest: it grew, or only plugins changed."""

    def installed(kind: str, name: str) -> bool:
        return name in registry.components(kind)  # type: ignore[arg-type]

    def extended(known: Manifest) -> bool:
        same_text = known.space_text == manifest.space_text
        return same_text or extends(manifest.components, known.components, installed)

    return extended


def _workers(space: Space) -> int:
    asked, trials = space.search.workers, space.budget.trials
    if asked is not None:
        return max(1, asked)
    most = default_workers(space.resources.cpus)
    return max(1, min(most, trials or most))


def _engine(name: str, address: str | None, space: Space, logs: Path) -> Engine:
    """Where trials run.

    Raises:
        SpaceError: an address was given to an engine that has none.
        StudyFailedError: the engine is not installed.
    """
    if name == "ray":
        # Imported here: nobody else needs Ray.
        from automl_rec.search.ray_engine import RayEngine

        return RayEngine(_workers(space), logs, space.resources, address)
    if address is not None:
        raise SpaceError(f"The engine {name} has no address, got {address}. Add --engine ray.")
    return LocalEngine(_workers(space), logs, space.resources)


def _require_success(study: Study, references: References) -> None:
    """Raises where nothing ran, or nothing but the reference models (popularity) did not fail.

    Raises:
        StudyFailedError: see above.
    """
    if study.trials and not any(trial.worker for trial in study.trials):
        nearest = min(
            study.trials,
            key=lambda trial: sum(trial.violations.values()) if trial.violations else math.inf,
        )
        raise StudyFailedError(
            f"{counted(len(study.trials), 'configuration')} tried, none could be run; the nearest: "
            f"{nearest.reason} Widen the bounds or the space."
        )
    models = [(trial, next(iter(trial.configuration["model"]))) for trial in study.trials]
    ran = [trial for trial, model in models if trial.worker and model not in references.models]
    if ran and all(trial.state == "failed" for trial in ran):
        raise StudyFailedError(
            f"Every one of {len(ran)} trials failed, most of them with: "
            f"{commonest_reason(study.trials)} See the workers' logs in {study.folder / LOGS}."
        )
