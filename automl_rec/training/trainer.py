"""The one training loop: from a model's loss to its best weights on validation."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

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
from automl_rec.training.checkpoint import Checkpoint, entries_kept
from automl_rec.training.seeding import generator_for, seed_for

Stop: TypeAlias = Literal["patience", "early", "time"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The quality on validation after an epoch.

    Attributes:
        epoch: epochs run, from 1.
        epochs: epochs this training may run.
        quality: larger is better.
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

    Raises:
        DivergenceError: the loss or the weights stopped being finite.
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
            return _run(model, steps, validate, settings, report or _go_on)
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


def _run(
    model: TrainedModel,
    steps: _Steps,
    validate: Callable[[], tuple[float, float]],
    settings: Mapping[str, Value],
    report: Callable[[Progress], bool],
) -> Training:
    epochs, every = int(settings["epochs"]), int(settings["evaluate_every"])
    watch = _Watch(model, int(settings["patience"]))
    curve: list[Progress] = []
    stopped: Stop | None = None
    while stopped is None and steps.epoch < epochs:
        in_time = steps.run_epoch()
        due = in_time and (steps.epoch % every == 0 or steps.epoch == epochs)
        stopped = None if in_time else "time"
        if due or not (in_time or curve):
            quality, error = _validated(model, validate)
            curve.append(Progress(steps.epoch, epochs, quality, error, steps.seconds))
            go_on, patient = report(curve[-1]), watch.see(quality)
            if steps.epoch < epochs:
                stopped = "early" if not go_on else stopped if patient else "patience"
    watch.restore()
    return Training(tuple(curve), steps.epoch, steps.seconds, stopped)


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
        """Takes note of a validation; False once patience is exhausted."""
        entries = entries_kept(self._model)
        if entries < self._entries or quality > self._best:
            self._best, self._entries, self._waited = quality, entries, 0
            self._checkpoint.save()
        else:
            self._waited += 1
        return self._waited < self._patience

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
