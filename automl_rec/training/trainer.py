"""The one training loop: from a model's loss to its best weights on validation."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from automl_rec.data.batches import Batches, batches_of
from automl_rec.data.holding_out import hold_out
from automl_rec.plugin import (
    Batch,
    Catalog,
    DivergenceError,
    LifeCycle,
    Phase,
    Sparsity,
    Step,
    TrainedModel,
    Value,
    Weight,
)
from automl_rec.training.adam import Adam
from automl_rec.training.checkpoint import Checkpoint, entries_kept, state_of
from automl_rec.training.resumption import TrainingFile
from automl_rec.training.seeding import generator_for, seed_for

Direction: TypeAlias = Literal["maximize", "minimize"]
Stop: TypeAlias = Literal["patience", "early", "time"]
Found: TypeAlias = tuple[Mapping[str, Tensor], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Progress:
    """The quality on validation after an epoch.

    Attributes:
        epoch: epochs run, from 1.
        epochs: epochs this training may run.
        quality: in its own unit, whether larger or smaller is better.
        standard_error: of the quality, over users.
        seconds: wall seconds of training so far, validation and reporting left out.
    """

    epoch: int
    epochs: int
    quality: float
    standard_error: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Training:
    """How a training went; the model holds the weights of the best point of the curve.

    Attributes:
        curve: every validation of the last phase; those of earlier ones judge another model.
        epochs: epochs begun, in all phases.
        seconds: wall seconds of training, validation and reporting left out.
        stopped: why it ended before its last epoch, or None.
    """

    curve: tuple[Progress, ...]
    epochs: int
    seconds: float
    stopped: Stop | None


def train(
    model: TrainedModel,
    catalog: Catalog,
    validate: Callable[[], tuple[float, float]],
    *,
    settings: Mapping[str, Value],
    seed: int,
    cycle: LifeCycle | None = None,
    sparsity: Sparsity | None = None,
    weights: Mapping[str, Weight] | None = None,
    report: Callable[[Progress], bool] | None = None,
    seconds: float | None = None,
    file: TrainingFile | None = None,
    direction: Direction = "maximize",
) -> Training:
    """Trains a model by Adam and leaves it with the weights that were best on validation.

    One seed decides everything drawn: batches have their own generator; what a model draws itself
    (dropout) comes from torch's global one, which is seeded here and restored afterwards.

    Args:
        model: the model as built.
        catalog: the train part.
        validate: quality and its standard error; called in evaluation mode, without gradient,
            after ``model.prepare()``.
        settings: ``learning_rate``, ``batch_size``, ``epochs``, ``patience`` and
            ``evaluate_every``, as `automl_rec.plugin.gradient_training` declares them.
        seed: source of every random draw.
        cycle: what acts beside the gradient, in its phases.
        sparsity: acts after every step of the last phase if it masks weights in training.
        weights: the weights that ``sparsity`` may mask.
        report: told of every validation of the last phase; False ends the training.
        seconds: wall seconds, everything included, after which training ends; an epoch cut short
            is validated only if there is no other.
        file: written after every validation; if there is one, training goes on from it as if it
            had never stopped.
        direction: which way the quality is better.

    Raises:
        DivergenceError: the loss or the weights stopped being finite.
        StorageError: the file is of another training, or cannot be read or written.
    """
    cycle = cycle or LifeCycle()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "model"))
        with torch.no_grad():
            model.begin(catalog, generator_for(seed, "begin"))
        clock = _Clock(math.inf if seconds is None else time.monotonic() + seconds)
        mask = sparsity if sparsity is not None and sparsity.masks_in_training else None
        source = _Source(model, catalog, cycle.held_out, int(settings["batch_size"]), seed)
        training = _Phases(model, cycle, source, settings, seed, clock, file, direction)
        try:
            return training.to_the_end(validate, report or _go_on, mask, weights or {})
        finally:
            model.eval()


class _Clock:
    """Wall time of a training.

    Attributes:
        deadline: moment of the monotonic clock after which no step begins.
        seconds: spent in steps so far.
        epochs: run in the phases before this one.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline, self.seconds, self.epochs = deadline, 0.0, 0


class _Source:
    """The batches of a training, and those held out from the weights."""

    def __init__(
        self, model: TrainedModel, catalog: Catalog, share: float, batch_size: int, seed: int
    ) -> None:
        learnt, held = catalog, None
        if share:
            draw = generator_for(seed, "held out")
            learnt, held = hold_out(catalog, model.sampling, share, draw)
        self.batches = batches_of(learnt, model.sampling, batch_size)
        self.held = None if held is None else batches_of(held, model.sampling, batch_size)


class _Phases:
    """A training, phase by phase."""

    def __init__(
        self,
        model: TrainedModel,
        cycle: LifeCycle,
        source: _Source,
        settings: Mapping[str, Value],
        seed: int,
        clock: _Clock,
        file: TrainingFile | None,
        direction: Direction,
    ) -> None:
        self._model, self._cycle, self._source, self._seed = model, cycle, source, seed
        self._settings, self._clock = settings, clock
        self._file, self._direction = file, direction
        self._initial: dict[str, Tensor] = {}
        if any(phase.start == "initial" for phase in cycle.phases):
            self._initial = {n: p.detach().clone() for n, p in model.named_parameters()}

    def to_the_end(
        self,
        validate: Callable[[], tuple[float, float]],
        report: Callable[[Progress], bool],
        mask: Sparsity | None,
        weights: Mapping[str, Weight],
    ) -> Training:
        """Runs every phase, from its file if there is one."""
        phases = self._cycle.phases
        found = self._file.read() if self._file is not None else None
        first = found[1]["phase"] if found is not None else 0
        for number in range(first + 1):
            self._enter(phases, number)
        for number in range(first, len(phases)):
            if number > first:
                self._enter(phases, number)
            last = number == len(phases) - 1
            run = self._run(number)
            if last and mask is not None:
                run.mask(mask, weights)
            if found is not None and number == first:
                run.resume(*found)
            training = run.to_the_end(validate, report if last else _go_on)
            self._clock.epochs, self._clock.seconds = training.epochs, training.seconds
        return training

    @torch.no_grad()
    def _enter(self, phases: Sequence[Phase], number: int) -> None:
        """Leaves the phase before, if there is one, and begins another."""
        phase = phases[number]
        if number:
            self._cycle.end(phases[number - 1])
        if phase.start == "initial":
            owned = {id(part) for part in self._cycle.owned()}
            for name, part in self._model.named_parameters():
                if id(part) not in owned and name in self._initial:
                    part.copy_(self._initial[name])
        self._cycle.begin(phase, generator_for(self._seed, f"phase {phase.name}"))

    def _run(self, number: int) -> "_Run":
        epochs = _epochs_of(self._cycle.phases, int(self._settings["epochs"]))[number]
        steps = _Steps(
            self._model, self._cycle, self._source, self._settings, self._seed, self._clock, epochs
        )
        return _Run(self._model, steps, self._settings, self._file, self._direction, number)


def _epochs_of(phases: Sequence[Phase], epochs: int) -> list[int]:
    """Epochs of each phase: its share of them, at least one."""
    ends = [round(epochs * sum(p.share for p in phases[: n + 1])) for n in range(len(phases))]
    return [max(end - start, 1) for start, end in zip([0, *ends], ends, strict=False)]


class _Steps:
    """Optimiser steps of a phase, epoch by epoch.

    Attributes:
        epochs: of the phase.
        epoch: epochs begun in it.
        before: epochs run in the phases before.
        seconds: wall seconds spent in steps, those of the phases before included.
    """

    def __init__(
        self,
        model: TrainedModel,
        cycle: LifeCycle,
        source: _Source,
        settings: Mapping[str, Value],
        seed: int,
        clock: _Clock,
        epochs: int,
    ) -> None:
        self._model, self._cycle, self._source = model, cycle, source
        self._learning_rate = float(settings["learning_rate"])
        self._generator = generator_for(seed, "batches")
        self._owned = list(cycle.owned())
        left_alone = {id(part) for part in self._owned}
        trained = [part for part in model.parameters() if id(part) not in left_alone]
        self._optimizer = Adam(trained, self._learning_rate, model.betas)
        self._sparsity: Sparsity | None = None
        self._deadline = clock.deadline
        self._total = epochs * len(source.batches)
        self._step, self.epochs, self.before = 0, epochs, clock.epochs
        self.epoch, self.seconds = 0, clock.seconds

    def mask(self, sparsity: Sparsity, weights: Mapping[str, Weight]) -> None:
        """Lets a sparsity act after every step."""
        self._sparsity = sparsity
        sparsity.begin(weights, self._total)

    def run_epoch(self) -> bool:
        """One epoch; False if the deadline cut it short."""
        self.epoch += 1
        self._model.train()
        started = time.monotonic()
        now = started
        held = self._held_out()
        for batch in self._source.batches.epoch(self._generator):
            if now >= self._deadline:
                break
            self._take(batch)
            if held is not None:
                self._cycle.judge(self._described(next(held)))
            now = time.monotonic()
        self.seconds += now - started
        self._require_finite()
        return now < self._deadline

    def tensors(self) -> dict[str, Tensor]:
        """The state of the optimiser and of the random sources, by name."""
        sources = {"global": torch.get_rng_state(), "batches": self._generator.get_state()}
        return {
            **{f"adam.{name}": tensor for name, tensor in self._optimizer.state().items()},
            **{f"random.{name}": state for name, state in sources.items()},
        }

    def facts(self) -> dict[str, Any]:
        """How far training is, as plain data."""
        facts = {"epoch": self.epoch, "step": self._step, "before": self.before}
        return {**facts, "seconds": self.seconds}

    @torch.no_grad()
    def resume(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Goes on from what `tensors` and `facts` were."""
        for name, tensor in self._optimizer.state().items():
            tensor.copy_(tensors[f"adam.{name}"])
        torch.set_rng_state(tensors["random.global"])
        self._generator.set_state(tensors["random.batches"])
        self.epoch, self._step, self.seconds = facts["epoch"], facts["step"], facts["seconds"]
        self.before = facts["before"]

    def _take(self, batch: Batch) -> None:
        loss = self._cycle.loss(lambda: self._model.loss(batch))
        if not math.isfinite(loss.item()):
            raise self._diverged("loss")
        self._optimizer.clear()
        loss.backward()
        self._optimizer.step()
        self._step += 1
        for part in self._owned:
            part.grad = None
        self._cycle.after_step(self._described(batch))
        if self._sparsity is not None:
            self._sparsity.after_step(self._step)

    def _described(self, batch: Batch) -> Step:
        return Step(self._step, self._total, self._learning_rate, lambda: self._model.loss(batch))

    def _held_out(self) -> Iterator[Batch] | None:
        """Held-out batches, again from the start when there are no more."""
        held = self._source.held
        return None if held is None else self._repeated(held)

    def _repeated(self, held: Batches) -> Iterator[Batch]:
        while True:
            yield from held.epoch(self._generator)

    def _require_finite(self) -> None:
        if not all(math.isfinite(part.detach().sum().item()) for part in self._model.parameters()):
            raise self._diverged("weights")

    def _diverged(self, what: str) -> DivergenceError:
        return DivergenceError(
            f"The {what} must stay finite, but did not in epoch {self.epoch} at learning rate "
            f"{self._learning_rate:g}. Lower the learning rate or raise the regularisation."
        )


class _Run:
    """A phase from its first epoch, or its file, to its best weights."""

    def __init__(
        self,
        model: TrainedModel,
        steps: _Steps,
        settings: Mapping[str, Value],
        file: TrainingFile | None,
        direction: Direction,
        phase: int,
    ) -> None:
        self._model, self._steps, self._file, self._phase = model, steps, file, phase
        self._sign = 1 if direction == "maximize" else -1
        self._every = int(settings["evaluate_every"])
        self._watch = _Watch(model, int(settings["patience"]))
        self._curve: list[Progress] = []
        self._stopped: Stop | None = None

    def mask(self, sparsity: Sparsity, weights: Mapping[str, Weight]) -> None:
        """Lets a sparsity act after every step."""
        self._steps.mask(sparsity, weights)

    def to_the_end(
        self, validate: Callable[[], tuple[float, float]], report: Callable[[Progress], bool]
    ) -> Training:
        """Runs what is left and gives the model its best weights."""
        steps = self._steps
        while self._stopped is None and steps.epoch < steps.epochs:
            in_time = steps.run_epoch()
            self._stopped = None if in_time else "time"
            due = in_time and (steps.epoch % self._every == 0 or steps.epoch == steps.epochs)
            if due or not (in_time or self._curve):
                self._validate(validate, report)
                if due:
                    self._write()
        self._watch.restore()
        run = steps.before + steps.epoch
        return Training(tuple(self._curve), run, steps.seconds, self._stopped)

    @torch.no_grad()
    def resume(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Goes on from what was written."""
        for name, tensor in state_of(self._model).items():
            tensor.copy_(tensors[f"now.{name}"])
        best = {n.removeprefix("best."): t for n, t in tensors.items() if n.startswith("best.")}
        self._watch.resume(best, facts)
        self._steps.resume(tensors, facts)
        self._curve = [Progress(**point) for point in facts["curve"]]
        self._stopped = facts["stopped"]

    def _validate(
        self, validate: Callable[[], tuple[float, float]], report: Callable[[Progress], bool]
    ) -> None:
        steps = self._steps
        quality, error = _validated(self._model, validate)
        epoch, epochs = steps.before + steps.epoch, steps.before + steps.epochs
        self._curve.append(Progress(epoch, epochs, quality, error, steps.seconds))
        go_on, patient = report(self._curve[-1]), self._watch.see(self._sign * quality)
        if steps.epoch < steps.epochs:
            self._stopped = "early" if not go_on else self._stopped if patient else "patience"

    def _write(self) -> None:
        """Called after whole epochs: one that was cut short will be run again."""
        if self._file is None:
            return
        tensors = {
            **{f"now.{name}": tensor for name, tensor in state_of(self._model).items()},
            **{f"best.{name}": tensor for name, tensor in self._watch.tensors().items()},
            **self._steps.tensors(),
        }
        stopped = self._stopped if self._stopped == "patience" else None
        curve = [asdict(point) for point in self._curve]
        facts = {"phase": self._phase, "curve": curve, "stopped": stopped}
        facts |= {**self._steps.facts(), **self._watch.facts()}
        self._file.write(tensors, facts)


class _Watch:
    """Keeps the best weights and counts the validations since.

    While a sparsity still removes entries, a later state replaces an earlier, better one: it was
    better because it was larger.
    """

    def __init__(self, model: TrainedModel, patience: int) -> None:
        self._model, self._patience = model, patience
        self._checkpoint = Checkpoint(model)
        self._best, self._entries, self._waited = -math.inf, math.inf, 0

    def see(self, quality: float) -> bool:
        """Takes note of a validation, larger is better; False once patience is exhausted."""
        entries = entries_kept(self._model)
        if entries < self._entries or quality > self._best:
            self._best, self._entries, self._waited = quality, entries, 0
            self._checkpoint.save()
        else:
            self._waited += 1
        return self._waited < self._patience

    def tensors(self) -> dict[str, Tensor]:
        """The best weights, by name."""
        return self._checkpoint.kept()

    def facts(self) -> dict[str, Any]:
        """What was best and how long ago, as plain data."""
        return {"best": self._best, "entries": self._entries, "waited": self._waited}

    def resume(self, tensors: dict[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Goes on from what `tensors` and `facts` were."""
        self._checkpoint.keep(tensors)
        self._best, self._entries = facts["best"], facts["entries"]
        self._waited = facts["waited"]

    def restore(self) -> None:
        """Gives the model its best weights back."""
        self._checkpoint.restore()


@torch.no_grad()
def _validated(
    model: TrainedModel, validate: Callable[[], tuple[float, float]]
) -> tuple[float, float]:
    model.eval()
    model.prepare()
    return validate()


def _go_on(_progress: Progress) -> bool:
    return True
