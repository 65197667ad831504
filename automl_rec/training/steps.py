"""Steps of the optimiser, epoch by epoch."""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from automl_rec.data.batches import Batches, batches_of
from automl_rec.data.holding_out import hold_out
from automl_rec.plugin import (
    Batch,
    Catalog,
    DivergenceError,
    LifeCycle,
    Step,
    TrainableMatrix,
    TrainedModel,
    Value,
)
from automl_rec.training.adam import Adam
from automl_rec.training.resumption import take, whole
from automl_rec.training.seeding import generator_for


class Clock:
    """Wall time of a training.

    Attributes:
        deadline: moment of the monotonic clock after which no step of this phase begins.
        seconds: spent in steps so far.
        epochs: run in the phases before this one.
    """

    def __init__(self, started: float, allowed: float) -> None:
        self._started, self._allowed = started, allowed
        self.deadline, self.seconds, self.epochs = math.inf, 0.0, 0

    def allow(self, share: float) -> None:
        """Sets the deadline at a share of the time allowed in all."""
        self.deadline = self._started + share * self._allowed


class Source:
    """The batches of a phase, and those held out from its weights."""

    def __init__(
        self, model: TrainedModel, catalog: Catalog, share: float, batch_size: int, seed: int
    ) -> None:
        learnt, held = catalog, None
        if share:
            draw = generator_for(seed, "held out")
            learnt, held = hold_out(catalog, model.sampling, share, draw)
        self.batches = batches_of(learnt, model.sampling, batch_size)
        self.held = None if held is None else batches_of(held, model.sampling, batch_size)


class Steps:
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
        source: Source,
        settings: Mapping[str, Value],
        seed: int,
        clock: Clock,
        epochs: int,
    ) -> None:
        self._model, self._cycle, self._source = model, cycle, source
        self._learning_rate = float(settings["learning_rate"])
        self._generator = generator_for(seed, "batches")
        self._owned = list(cycle.owned())
        left_alone = {id(part) for part in self._owned}
        learnt = (part for part in model.parameters() if part.requires_grad)
        trained = [part for part in learnt if id(part) not in left_alone]
        self._optimizer = Adam(trained, self._learning_rate, model.betas)
        self._matrices = [p for p in model.modules() if isinstance(p, TrainableMatrix)]
        self._known: dict[int, tuple[int, int]] = {}
        self._begun, self._deadline = time.monotonic(), clock.deadline
        self._total = epochs * len(source.batches)
        self._step, self.epochs, self.before = 0, epochs, clock.epochs
        self.epoch, self.seconds = 0, clock.seconds

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
            take(tensor, tensors, f"adam.{name}")
        torch.set_rng_state(tensors["random.global"])
        self._generator.set_state(tensors["random.batches"])
        self.epoch, self._step = whole(facts, "epoch", self.epochs), whole(facts, "step")
        self.before, self.seconds = whole(facts, "before"), float(facts["seconds"])

    def _take(self, batch: Batch) -> None:
        loss = self._cycle.loss(lambda: self._model.loss(batch))
        if not math.isfinite(loss.item()):
            raise self._diverged("loss")
        self._optimizer.clear()
        loss.backward()
        self._step += 1
        step = self._described(batch)
        self._cycle.after_backward(step)
        self._optimizer.step()
        for part in self._owned:
            part.grad = None
        self._cycle.after_step(step)
        self._forget_masked()

    def _described(self, batch: Batch) -> Step:
        return Step(
            self._step,
            self._total,
            self._learning_rate,
            lambda: self._model.loss(batch),
            len(self._source.batches),
            self._time_passed(),
            self._optimizer.forget,
        )

    def _time_passed(self) -> float:
        if math.isinf(self._deadline):
            return 0.0
        allowed = self._deadline - self._begun
        return (time.monotonic() - self._begun) / allowed if allowed > 0 else 1.0

    def _forget_masked(self) -> None:
        """Takes back the moments of entries that a mask has shut: they would move it on return."""
        for number, matrix in enumerate(self._matrices):
            if matrix.mask is None or matrix.straight:
                continue
            seen = id(matrix.mask), matrix.mask._version  # noqa: SLF001 - torch has no public name
            if self._known.get(number) != seen:
                self._known[number] = seen
                self._optimizer.forget(matrix.weight, matrix.mask == 0)

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
