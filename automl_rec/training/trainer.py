"""The one training loop: from a model's loss to its best weights on validation."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from automl_rec.plugin import (
    Catalog,
    LifeCycle,
    Phase,
    TrainedModel,
    Value,
)
from automl_rec.training.checkpoint import state_of
from automl_rec.training.joining import Joined
from automl_rec.training.progress import Direction, Progress, Stop, Training
from automl_rec.training.resumption import TrainingFile, duration, take, whole
from automl_rec.training.seeding import generator_for, seed_for
from automl_rec.training.steps import Clock, Source, Steps
from automl_rec.training.stretch import Stretch


def train(
    model: TrainedModel,
    catalog: Catalog,
    validate: Callable[[], tuple[float, float]],
    *,
    settings: Mapping[str, Value],
    seed: int,
    cycles: Sequence[LifeCycle] = (),
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
        cycles: what acts beside the gradient, in the order in which it is called; see `Joined`.
        report: told of every validation of the last phase; False ends the training.
        seconds: wall seconds, everything included, after which training ends, each phase at its
            share of them; an epoch cut short is validated only if there is no other.
        file: written after every validation; if there is one, training goes on from it as if it
            had never stopped. One that is kept holds what was trained when it has ended.
        direction: which way the quality is better.

    Raises:
        DivergenceError: the loss or the weights stopped being finite.
        StorageError: the file is of another training, or cannot be read or written.
    """
    cycle = Joined(cycles)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "model"))
        with torch.no_grad():
            model.begin(catalog, generator_for(seed, "begin"))
        clock = Clock(time.monotonic(), math.inf if seconds is None else seconds)
        training = _Phases(model, cycle, catalog, settings, seed, clock, file, direction)
        try:
            return training.to_the_end(validate, report or _go_on)
        finally:
            model.eval()


class _Phases:
    """A training, phase by phase."""

    def __init__(
        self,
        model: TrainedModel,
        cycle: LifeCycle,
        catalog: Catalog,
        settings: Mapping[str, Value],
        seed: int,
        clock: Clock,
        file: TrainingFile | None,
        direction: Direction,
    ) -> None:
        self._model, self._cycle, self._catalog, self._seed = model, cycle, catalog, seed
        self._settings, self._clock = settings, clock
        self._file, self._direction = file, direction
        self._initial: dict[str, Tensor] = {}
        if any(phase.start == "initial" for phase in cycle.phases):
            self._initial = {n: p.detach().clone() for n, p in model.named_parameters()}

    def to_the_end(
        self,
        validate: Callable[[], tuple[float, float]],
        report: Callable[[Progress], bool],
    ) -> Training:
        """Runs every phase, from its file if there is one."""
        phases, kept = self._cycle.phases, self._file
        found = kept.read() if kept is not None else None
        if found is not None and found[1].get("ended"):
            return self._ended(*found)
        first, in_time = self._first(found), True
        for number in range(first + 1):
            self._enter(phases, number)
        for number in range(first, len(phases)):
            if number > first:
                self._enter(phases, number)
            last = number == len(phases) - 1
            stretch = self._stretch(number)
            if found is not None and number == first:
                assert self._file is not None, "what is found was read from it"
                with self._file.taking():
                    stretch.resume(*found)
            training = stretch.to_the_end(validate, report if last else _go_on)
            self._clock.epochs, self._clock.seconds = training.epochs, training.seconds
            if training.stopped == "time":
                # What follows a phase cut short is for now: the file goes on with that phase.
                self._file, in_time = None, False
        if training.stopped == "early":
            return training
        if not in_time:
            training = replace(training, stopped="time")
        if kept is not None and kept.keep:
            kept.write(state_of(self._model), {"ended": True, **asdict(training)})
        return training

    def _ended(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Training:
        """Gives the model what a training that has ended left."""
        assert self._file is not None, "it was read from a file"
        for number in range(len(self._cycle.phases)):
            self._enter(self._cycle.phases, number)
        with self._file.taking(), torch.no_grad():
            for name, tensor in state_of(self._model).items():
                take(tensor, tensors, name)
            curve = tuple(Progress(**point) for point in facts["curve"])
            seconds = duration(facts["seconds"])
            stops: dict[str, Stop] = {"patience": "patience", "time": "time"}
            stopped = stops.get(str(facts["stopped"]))
            return Training(curve, whole(facts, "epochs"), seconds, stopped)

    def _first(self, found: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None) -> int:
        """The phase to go on with."""
        if found is None or self._file is None:
            return 0
        with self._file.taking():
            return whole(found[1], "phase", len(self._cycle.phases) - 1)

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

    def _stretch(self, number: int) -> Stretch:
        self._clock.allow(sum(phase.share for phase in self._cycle.phases[: number + 1]))
        phases = self._cycle.phases
        epochs = _epochs_of(phases, int(self._settings["epochs"]))[number]
        batch_size, held_out = int(self._settings["batch_size"]), self._cycle.held_out
        source = Source(self._model, self._catalog, held_out, batch_size, self._seed)
        steps = Steps(
            self._model, self._cycle, source, self._settings, self._seed, self._clock, epochs
        )
        model, file, direction = self._model, self._file, self._direction
        return Stretch(model, steps, self._settings, file, direction, number, phases[number])


def _epochs_of(phases: Sequence[Phase], epochs: int) -> list[int]:
    """Epochs of each phase: its share of them, at least one."""
    ends = [round(epochs * sum(p.share for p in phases[: n + 1])) for n in range(len(phases))]
    return [max(end - start, 1) for start, end in zip([0, *ends], ends, strict=False)]


def _go_on(_progress: Progress) -> bool:
    return True
