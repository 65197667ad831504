"""From a trial, or a file of one configuration, to an artefact with its test measurements."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl_rec import export
from automl_rec.builder import restore
from automl_rec.data import Prepared, prepare
from automl_rec.errors import ExportError, SpaceError, StudyMismatchError
from automl_rec.evaluation import evaluate, measure, require_measurable
from automl_rec.naming import is_folder_name
from automl_rec.objectives import is_quality, resolve
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.registry import Registry
from automl_rec.search.samplers import derive_seed
from automl_rec.search.session import plugin_versions
from automl_rec.search.shelf import ARTEFACTS, run_of
from automl_rec.served import Served
from automl_rec.space.checker import check, read_space
from automl_rec.space.configuration import Configuration
from automl_rec.space.data_section import written_data
from automl_rec.space.space import Space
from automl_rec.storage.records import Manifest, TrialRecord

Measured = Mapping[str, Measurement]


@dataclass(frozen=True, slots=True)
class Shipped:
    """An exported artefact with what was measured of it.

    Attributes:
        measurements: ``"validation"``, ``"test"`` (its quality, measured now for the first time)
            and, where asked for, ``"confirmed"``: means over trainings with other seeds, the
            standard errors being those of the means.
        stopped: why training ended before its last epoch, if it was trained now.
    """

    folder: Path
    configuration: Configuration
    measurements: Mapping[str, Measured]
    stopped: str | None = None


def ship(
    manifest: Manifest,
    home: Path,
    trial: TrialRecord,
    folder: Path,
    *,
    registry: Registry | None = None,
    confirm: int = 0,
) -> Shipped:
    """Exports a trial: its stored model, or where that is gone the same training once more.

    Args:
        manifest: of the study.
        home: the study's folder.
        trial: one that was completed.
        folder: to write.
        registry: the installed components; discovered if None.
        confirm: trainings with other seeds, whose mean is measured too.

    Raises:
        StudyMismatchError: the data are not what they were.
        ExportError: the artefact cannot be written.
    """
    registry = registry or Registry.discover()
    one = one_configuration(manifest, trial.configuration)
    text = export.space_text(one)
    space = check(text, home / export.CONFIGURATION, registry)
    data = prepare(space.data)
    if data.digest != manifest.data_digest:
        raise StudyMismatchError(
            f"The data of the study {manifest.name!r} have changed since it was made "
            f"({manifest.data_digest[:12]} became {data.digest[:12]}). "
            f"Put the former files back, or search again."
        )
    configuration = Configuration.from_dict(trial.configuration)
    bench = _Bench(data, manifest.objectives, registry, one, configuration, confirm)
    run = "" if trial.artefact is None else run_of(trial.artefact)
    path = home / ARTEFACTS / run / export.MODEL
    if not is_folder_name(run) or not path.is_file():
        return bench.train(folder, trial.seed)
    facts = {"trial": trial.number, "seed": trial.seed, "train_seconds": trial.train_seconds}
    return bench.write(folder, path, bench.restored(path), trial.measurements, facts)


def train(
    path: Path,
    folder: Path,
    *,
    registry: Registry | None = None,
    confirm: int = 0,
    seconds: float | None = None,
    checkpoint: Path | None = None,
) -> Shipped:
    """Trains and exports the one configuration of a space file.

    Args:
        path: the space.
        folder: to write.
        registry: the installed components; discovered if None.
        confirm: trainings with other seeds, whose mean is measured too.
        seconds: wall time after which training ends with the best epoch so far.
        checkpoint: file that training is kept in, and goes on from if it is there.

    Raises:
        SpaceError: the file is no sound space, or holds several configurations.
        DataError: the data cannot be read, or an objective cannot be measured on them.
        Infeasible: the configuration cannot be built on these data.
        DivergenceError: training left the finite numbers.
        ExportError: the artefact cannot be written.
        StorageError: the checkpoint is of another training, or cannot be read or written.
    """
    registry = registry or Registry.discover()
    space = read_space(path, registry)
    configuration = only_configuration(space)
    objectives = resolve(space.objectives, space.data.task)
    data = prepare(space.data)
    require_measurable(data, objectives)
    one = one_space(space, configuration, objectives)
    seed = derive_seed(space.search.seed, configuration.digest, 0)
    bench = _Bench(data, objectives, registry, one, configuration, confirm)
    return bench.train(folder, seed, seconds, checkpoint)


def only_configuration(space: Space) -> Configuration:
    """The configuration of a space that leaves no choice.

    Raises:
        SpaceError: it leaves some.
    """
    count = space.configurations()
    if count != 1:
        raise SpaceError(
            f"{space.path}: train needs a space of exactly one configuration, got "
            f"{'infinitely many' if count is None else count}. Give every hyperparameter one "
            f"value, as in an artefact's {export.CONFIGURATION}, or use search."
        )
    return space.defaults(next(iter(space.components["model"])))


def one_configuration(manifest: Manifest, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The space of one trial's configuration, as plain data."""
    parts = (manifest.data["request"], manifest.objectives, manifest.seed)
    return _space(configuration, *parts)


def one_space(
    space: Space, configuration: Configuration, objectives: Sequence[Objective]
) -> dict[str, Any]:
    """The space of one configuration, whatever form its file had."""
    request = written_data(space.data)
    return _space(configuration.as_dict(), request, objectives, space.search.seed)


def _space(
    configuration: Mapping[str, Any],
    request: Mapping[str, Any],
    objectives: Sequence[Objective],
    seed: int,
) -> dict[str, Any]:
    return {
        "data": dict(request),
        "objectives": {objective.name: _written(objective) for objective in objectives},
        "budget": {"trials": 1},
        "search": {"seed": seed},
        **configuration,
    }


def _written(objective: Objective) -> str | dict[str, Any]:
    if objective.bound is None:
        return objective.direction
    limit = "max" if objective.direction == "minimize" else "min"
    return {objective.direction: True, limit: objective.bound}


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every way to an artefact needs; ``one`` is the space of its configuration."""

    data: Prepared
    objectives: tuple[Objective, ...]
    registry: Registry
    one: Mapping[str, Any]
    configuration: Configuration
    confirm: int

    def __post_init__(self) -> None:
        if self.confirm < 0:
            raise ExportError(f"confirm must be 0 or more trainings, got {self.confirm}. Raise it.")

    def restored(self, path: Path) -> Served:
        stored = export.read_model(path)
        parts = (stored.configuration, self.data.catalog, self.registry)
        return restore(*parts, stored.structure, stored.tensors)

    def train(
        self,
        folder: Path,
        seed: int,
        seconds: float | None = None,
        checkpoint: Path | None = None,
    ) -> Shipped:
        found = evaluate(
            self.configuration,
            self.data,
            self.objectives,
            self.registry,
            seed=seed,
            seconds=seconds,
            checkpoint=checkpoint,
        )
        assert found.served is not None, "nothing stops a training that is not searched"
        facts = {"seed": seed, "train_seconds": found.outcome.train_seconds}
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / export.MODEL
            export.write_model(path, found.served, self.configuration)
            shipped = self.write(folder, path, found.served, found.outcome.measurements, facts)
        return replace(shipped, stopped=found.outcome.stopped)

    def write(
        self,
        folder: Path,
        path: Path,
        served: Served,
        measured: Measured,
        facts: Mapping[str, Any],
    ) -> Shipped:
        qualities = [objective for objective in self.objectives if is_quality(objective.name)]
        tested = measure(served, self.data, "test", qualities)
        measurements = {"validation": measured, "test": tested}
        if self.confirm:
            measurements["confirmed"] = self._confirmed(facts["seed"])
        plugins = plugin_versions(self.registry)
        content = export.Artefact(path, self.one, self.data, measurements, plugins, facts)
        return Shipped(export.write(folder, content), self.configuration, measurements)

    def _confirmed(self, seed: int) -> Measured:
        parts = (self.configuration, self.data, self.objectives, self.registry)
        seeds = [derive_seed(seed, "confirm", repeat) for repeat in range(self.confirm)]
        runs = [evaluate(*parts, seed=other).outcome.measurements for other in seeds]
        return {o.name: _mean([run[o.name].value for run in runs]) for o in self.objectives}


def _mean(values: Sequence[float]) -> Measurement:
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Measurement(float(np.mean(values)), error)
