"""The body of a trial on every engine: configuration, data and seed in, measurements out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from automl_rec.builder import Built, build, finalize, restore
from automl_rec.data import Prepared
from automl_rec.data.prepared import HeldOut
from automl_rec.errors import DataError, DivergenceError
from automl_rec.kernels import choose_kernels
from automl_rec.objectives import coldness, cutoff, is_quality, rows
from automl_rec.objectives.latency import Latency, measure_rows
from automl_rec.objectives.latency import measure as measure_lists
from automl_rec.objectives.memory import resident_bytes
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.objectives.ranking import Lists, judged_by, lists
from automl_rec.objectives.ranking import measure as measure_quality
from automl_rec.plugin import ClosedFormModel, Model, RankingModel, RetrievalModel, TrainedModel
from automl_rec.price import Price, price, training_bytes
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Configuration
from automl_rec.training.progress import Progress, Training
from automl_rec.training.resumption import TrainingFile
from automl_rec.training.solution import solve
from automl_rec.training.trainer import train
from automl_rec.training_part import training_part

Report = Callable[[Progress], bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one evaluation found, as plain data.

    Attributes:
        measurements: objective name -> measurement on validation; of a stopped training only those
            that are known.
        curve: validation quality after epochs; empty for closed forms.
        train_seconds: wall seconds of training and compression, validation included.
        cpu_seconds: processor seconds of the same.
        stopped: why training ended before its last epoch: ``"patience"``, ``"time"``, or
            ``"early"`` (the search stopped it; only then is nothing served); else None.
    """

    measurements: Mapping[str, Measurement]
    curve: tuple[Progress, ...] = ()
    train_seconds: float = 0.0
    cpu_seconds: float = 0.0
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An outcome with the model that gave it; no model where the search stopped the training."""

    outcome: Outcome
    served: Served | None = field(default=None, repr=False)


def evaluate(
    configuration: Configuration,
    data: Prepared,
    objectives: Sequence[Objective],
    registry: Registry,
    *,
    seed: int,
    report: Report | None = None,
    seconds: float | None = None,
    checkpoint: Path | None = None,
    checkpoint_share: float = 1.0,
    keep: bool = False,
) -> Evaluated:
    """Trains a configuration on the train part and measures it on validation.

    Everything is measured on the model restored from what an artefact of it would hold, never on
    the one that was trained.

    Args:
        configuration: what to build.
        data: prepared interactions or rows; their test part is not touched.
        objectives: what to measure.
        registry: the installed components.
        seed: of every random draw.
        report: told of the quality after epochs; False stops the training for good.
        seconds: wall time after which training ends with the best epoch so far.
        checkpoint: file that training is kept in, and goes on from if it is there, whoever shares
            the training part; what earlier runs spent then counts as training cost.
        checkpoint_share: of the time, at most, that goes into writing the checkpoint.
        keep: whether the checkpoint holds what was trained or solved when that has ended.

    Raises:
        Infeasible: the configuration cannot be built on these data.
        DivergenceError: training left the finite numbers.
        StorageError: the checkpoint is of another training, or cannot be read or written.
    """
    started, cpu = time.perf_counter(), time.process_time()
    built = build(configuration, data.catalog, registry, seed=seed)
    file = None
    if checkpoint is not None:
        # The best weights are best by the quality watched: another one makes another training.
        watched = quality_of(objectives).name
        trained = training_part(configuration, registry).digest
        identity = f"{trained} {data.digest} {seed} {watched}"
        file = TrainingFile(checkpoint, identity, checkpoint_share, keep=keep)
    held = training_bytes(built)
    training = _fit(built, data, objectives, seed, report, seconds, file)
    held = max(held, training_bytes(built))
    if file is not None:
        started -= file.earlier
    if training is not None and training.stopped == "early":
        return Evaluated(_unfinished(training, built, data, objectives, registry, started, cpu))
    finished = finalize(built)
    choose_kernels(finished)
    served = shipped(finished, configuration, data, registry)
    train_seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    measured = measure(served, data, "validation", objectives)
    spent = {"train_seconds": train_seconds, "bytes_training": float(held)}
    asked = (objective.name for objective in objectives if objective.name in spent)
    measured |= {name: Measurement(spent[name]) for name in asked}
    curve, stopped = (training.curve, training.stopped) if training else ((), None)
    return Evaluated(Outcome(measured, curve, train_seconds, cpu_seconds, stopped), served)


def measure(
    served: Served, data: Prepared, part: HeldOut, objectives: Sequence[Objective]
) -> dict[str, Measurement]:
    """Measures what is served on a part of the data; training cost is not among it.

    Args:
        served: the finished model.
        data: prepared interactions or rows.
        part: ``"validation"``, or ``"test"`` (for export alone).
        objectives: what to measure.
    """
    qualities = [objective.name for objective in objectives if is_quality(objective.name)]
    measured = _qualities(served, data, part, qualities)
    for objective in objectives:
        if objective.name == "latency_ms":
            latency = _latency(served, data, part)
            measured["latency_ms"] = Measurement(latency.median_ms, latency.standard_error_ms)
        elif objective.name == "bytes_resident":
            measured["bytes_resident"] = Measurement(float(_resident(served, data, part)))
        elif objective.name in _COSTS:
            measured[objective.name] = Measurement(_COSTS[objective.name](served))
    return measured


def require_measurable(data: Prepared, objectives: Sequence[Objective]) -> None:
    """Refuses objectives that these data cannot be measured by.

    Raises:
        DataError: a quality of cold items has no cold item to judge by, or one of rows lacks a
            label, or users.
    """
    if data.task == "ranking":
        _require_labels(data, objectives)
        return
    for objective in objectives:
        cold = coldness(objective.name)
        if cold is None:
            continue
        for part, heldout in (("validation", data.validation), ("test", data.test)):
            if not (data.catalog.item_counts[heldout.items] < cold).any():
                raise DataError(
                    f"{objective.name} needs items of {part} that fewer than {cold} users met in "
                    "train, but there is none. Raise the number after /cold, or leave the "
                    "objective out."
                )


def shipped(
    served: Served, configuration: Configuration, data: Prepared, registry: Registry
) -> Served:
    """The model as it comes back from its own tensors and structure."""
    tensors, structure = served.tensors(), served.structure()
    _require_finite(tensors)
    return restore(configuration, data.catalog, registry, structure, tensors)


def quality_of(objectives: Sequence[Objective]) -> Objective:
    """The quality that training watches: the first among the objectives."""
    return next(objective for objective in objectives if is_quality(objective.name))


def known_costs(found: Price) -> dict[str, float]:
    """Objective name -> the least a configuration can cost, from its price."""
    return {
        "bytes": found.bytes.low,
        "bytes_tables": found.bytes_tables.low,
        "bytes_dense": found.bytes_dense.low,
        "bytes_packed": found.bytes_packed.low,
        "bytes_resident": found.bytes_resident.low,
        "bytes_training": found.bytes_training.low,
        "operations": found.operations.low,
    }


_COSTS: dict[str, Callable[[Served], float]] = {
    "bytes": lambda served: float(served.bytes),
    "bytes_tables": lambda served: float(served.bytes_tables),
    "bytes_dense": lambda served: float(served.bytes - served.bytes_tables),
    "bytes_packed": lambda served: served.bytes_packed,
    "operations": lambda served: served.operations.high,
}


def _fit(
    built: Built,
    data: Prepared,
    objectives: Sequence[Objective],
    seed: int,
    report: Report | None,
    seconds: float | None,
    file: TrainingFile | None,
) -> Training | None:
    if isinstance(built.model, ClosedFormModel):
        solve(built.model, data.catalog, seed, file)
        return None
    model = built.model
    assert isinstance(model, TrainedModel), "a model is trained or solved"
    quality = quality_of(objectives)

    def validate() -> tuple[float, float]:
        found = _qualities(model, data, "validation", [quality.name])[quality.name]
        return found.value, found.standard_error or 0.0

    return train(
        model,
        data.catalog,
        validate,
        settings=built.training,
        seed=seed,
        cycles=built.cycles,
        report=report,
        seconds=seconds,
        file=file,
        direction=quality.direction,
    )


def _unfinished(
    training: Training,
    built: Built,
    data: Prepared,
    objectives: Sequence[Objective],
    registry: Registry,
    started: float,
    cpu: float,
) -> Outcome:
    """What is known of a training that the search stopped: its quality so far and its price."""
    last = training.curve[-1]
    measured = {quality_of(objectives).name: Measurement(last.quality, last.standard_error)}
    costs = known_costs(price(built.configuration, data.catalog, registry))
    names = [objective.name for objective in objectives if objective.name in costs]
    measured |= {name: Measurement(costs[name]) for name in names}
    wall, processor = time.perf_counter() - started, time.process_time() - cpu
    return Outcome(measured, training.curve, wall, processor, training.stopped)


def _require_labels(data: Prepared, objectives: Sequence[Objective]) -> None:
    parts: tuple[HeldOut, ...] = ("validation", "test")
    for part in parts:
        unjudged = rows.unjudged(data.rows(part))
        for name in (o.name for o in objectives if is_quality(o.name)):
            try:
                rows.measure(unjudged, name)
            except DataError as error:
                raise DataError(f"In {part}, {error}") from error


def _latency(served: Served, data: Prepared, part: HeldOut) -> Latency:
    if data.task == "ranking":
        return measure_rows(served, data.rows(part))
    return measure_lists(served, data.known(part))


def _resident(served: Served, data: Prepared, part: HeldOut) -> int:
    return resident_bytes(served, data.rows(part) if data.task == "ranking" else data.known(part))


def _qualities(
    model: Model | Served, data: Prepared, part: HeldOut, names: Sequence[str]
) -> dict[str, Measurement]:
    if not names:
        return {}
    if data.task == "retrieval":
        assert isinstance(model, RetrievalModel | Served), "the space was checked"
        return _of_lists(model, data, part, names)
    assert isinstance(model, RankingModel | Served), "the space was checked"
    judged = rows.judge(model, data.rows(part))
    return {name: rows.measure(judged, name) for name in names}


def _of_lists(
    scorer: RetrievalModel | Served, data: Prepared, part: HeldOut, names: Sequence[str]
) -> dict[str, Measurement]:
    cutoffs = [found[1] for name in names if (found := cutoff(name))]
    heldout = data.validation if part == "validation" else data.test
    judged = lists(scorer, data.known(part), heldout, data.catalog.num_items, max(cutoffs))

    def counting(name: str) -> Lists:
        cold = coldness(name)
        if cold is None:
            return judged
        return judged_by(judged, heldout, data.catalog.item_counts < cold)

    return {name: measure_quality(counting(name), name) for name in names}


def _require_finite(tensors: Mapping[str, Any]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DivergenceError(
                f"The trained weights must be finite, got another value in {name}. "
                f"Lower the learning rate or raise the regularisation."
            )
