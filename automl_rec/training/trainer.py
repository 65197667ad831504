"""The one training loop: from a model's loss to its best weights on validation."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from automl_rec.data.batches import Batches, batches_of
from automl_rec.plugin import (
    Batch,
    Catalog,
    DivergenceError,
    Sparsity,
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
        curve: every validation.
        epochs: epochs begun.
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
        sparsity: acts after every step if it masks weights in training.
        weights: the weights that ``sparsity`` may mask.
        report: told of every validation; False ends the training.
        seconds: wall seconds, everything included, after which training ends; an epoch cut short
            is validated only if there is no other.
        file: written after every validation; if there is one, training goes on from it as if it
            had never stopped.
        direction: which way the quality is better.

    Raises:
        DivergenceError: the loss or the weights stopped being finite.
        StorageError: the file is of another training, or cannot be read or written.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "model"))
        with torch.no_grad():
            model.begin(catalog, generator_for(seed, "begin"))
        batches = batches_of(catalog, model.sampling, int(settings["batch_size"]))
        steps = _Steps(model, batches, settings, seed)
        if sparsity is not None and sparsity.masks_in_training:
            steps.mask(sparsity, weights or {})
        if seconds is not None:
            steps.deadline = time.monotonic() + seconds
        try:
            run = _Run(model, steps, settings, file, direction)
            return run.to_the_end(validate, report or _go_on)
        finally:
            model.eval()


class _Steps:
    """Optimiser steps, epoch by epoch.

    Attributes:
        seconds: wall seconds spent in steps.
        deadline: moment of the monotonic clock after which no step begins.
    """

    def __init__(
        self, model: TrainedModel, batches: Batches, settings: Mapping[str, Value], seed: int
    ) -> None:
        self._model, self._batches = model, batches
        self._learning_rate = float(settings["learning_rate"])
        self._epochs = int(settings["epochs"])
        self._generator = generator_for(seed, "batches")
        self._optimizer = Adam(model.parameters(), self._learning_rate, model.betas)
        self._sparsity: Sparsity | None = None
        self._step = 0
        self.epoch, self.seconds, self.deadline = 0, 0.0, math.inf

    def mask(self, sparsity: Sparsity, weights: Mapping[str, Weight]) -> None:
        """Lets a sparsity act after every step."""
        self._sparsity = sparsity
        sparsity.begin(weights, self._epochs * len(self._batches))

    def run_epoch(self) -> bool:
        """One epoch; False if the deadline cut it short."""
        self.epoch += 1
        self._model.train()
        started = time.monotonic()
        now = started
        for batch in self._batches.epoch(self._generator):
            if now >= self.deadline:
                break
            self._take(batch)
            now = time.monotonic()
        self.seconds += now - started
        self._require_finite()
        return now < self.deadline

    def tensors(self) -> dict[str, Tensor]:
        """The state of the optimiser and of the random sources, by name."""
        sources = {"global": torch.get_rng_state(), "batches": self._generator.get_state()}
        return {
            **{f"adam.{name}": tensor for name, tensor in self._optimizer.state().items()},
            **{f"random.{name}": state for name, state in sources.items()},
        }

    def facts(self) -> dict[str, Any]:
        """How far training is, as plain data."""
        return {"epoch": self.epoch, "step": self._step, "seconds": self.seconds}

    @torch.no_grad()
    def resume(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Goes on from what `tensors` and `facts` were."""
        for name, tensor in self._optimizer.state().items():
            tensor.copy_(tensors[f"adam.{name}"])
        torch.set_rng_state(tensors["random.global"])
        self._generator.set_state(tensors["random.batches"])
        self.epoch, self._step, self.seconds = facts["epoch"], facts["step"], facts["seconds"]

    def _take(self, batch: Batch) -> None:
        loss = self._model.loss(batch)
        if not math.isfinite(loss.item()):
            raise self._diverged("loss")
        self._optimizer.clear()
        loss.backward()
        self._optimizer.step()
        self._step += 1
        if self._sparsity is not None:
            self._sparsity.after_step(self._step)

    def _require_finite(self) -> None:
        if not all(math.isfinite(part.detach().sum().item()) for part in self._model.parameters()):
            raise self._diverged("weights")

    def _diverged(self, what: str) -> DivergenceError:
        return DivergenceError(
            f"The {what} must stay finite, but did not in epoch {self.epoch} at learning rate "
            f"{self._learning_rate:g}. Lower the learning rate or raise the regularisation."
        )


class _Run:
    """A training from its first epoch, or its file, to its best weights."""

    def __init__(
        self,
        model: TrainedModel,
        steps: _Steps,
        settings: Mapping[str, Value],
        file: TrainingFile | None,
        direction: Direction,
    ) -> None:
        self._model, self._steps, self._file = model, steps, file
        self._sign = 1 if direction == "maximize" else -1
        self._epochs, self._every = int(settings["epochs"]), int(settings["evaluate_every"])
        self._watch = _Watch(model, int(settings["patience"]))
        self._curve: list[Progress] = []
        self._stopped: Stop | None = None

    def to_the_end(
        self, validate: Callable[[], tuple[float, float]], report: Callable[[Progress], bool]
    ) -> Training:
        """Runs what is left and gives the model its best weights."""
        self._resume()
        steps = self._steps
        while self._stopped is None and steps.epoch < self._epochs:
            in_time = steps.run_epoch()
            self._stopped = None if in_time else "time"
            due = in_time and (steps.epoch % self._every == 0 or steps.epoch == self._epochs)
            if due or not (in_time or self._curve):
                self._validate(validate, report)
                if due:
                    self._write()
        self._watch.restore()
        return Training(tuple(self._curve), steps.epoch, steps.seconds, self._stopped)

    def _validate(
        self, validate: Callable[[], tuple[float, float]], report: Callable[[Progress], bool]
    ) -> None:
        steps = self._steps
        quality, error = _validated(self._model, validate)
        self._curve.append(Progress(steps.epoch, self._epochs, quality, error, steps.seconds))
        go_on, patient = report(self._curve[-1]), self._watch.see(self._sign * quality)
        if steps.epoch < self._epochs:
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
        facts = {"curve": curve, "stopped": stopped, **self._steps.facts(), **self._watch.facts()}
        self._file.write(tensors, facts)

    @torch.no_grad()
    def _resume(self) -> None:
        found = self._file.read() if self._file is not None else None
        if found is None:
            return
        tensors, facts = found
        for name, tensor in state_of(self._model).items():
            tensor.copy_(tensors[f"now.{name}"])
        best = {n.removeprefix("best."): t for n, t in tensors.items() if n.startswith("best.")}
        self._watch.resume(best, facts)
        self._steps.resume(tensors, facts)
        self._curve = [Progress(**point) for point in facts["curve"]]
        self._stopped = facts["stopped"]


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
