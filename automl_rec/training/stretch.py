"""A stretch of training: from its first epoch, or its file, to its best weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from automl_rec.plugin import Phase, TrainedModel, Value
from automl_rec.training.checkpoint import Checkpoint, entries_kept, state_of
from automl_rec.training.progress import Direction, Progress, Stop, Training
from automl_rec.training.resumption import TrainingFile, require_like, take, whole
from automl_rec.training.steps import Steps


class Stretch:
    """A phase from its first epoch, or its file, to its best weights."""

    def __init__(
        self,
        model: TrainedModel,
        steps: Steps,
        settings: Mapping[str, Value],
        file: TrainingFile | None,
        direction: Direction,
        number: int,
        phase: Phase,
    ) -> None:
        self._model, self._steps, self._file, self._phase = model, steps, file, number
        self._sign = 1 if direction == "maximize" else -1
        self._every = int(settings["evaluate_every"])
        last = phase.end == "last"
        self._watch = _Watch(model, int(settings["patience"]), last=last)
        self._curve: list[Progress] = []
        self._stopped: Stop | None = None

    def to_the_end(
        self, validate: Callable[[], tuple[float, float]], report: Callable[[Progress], bool]
    ) -> Training:
        """Runs what is left and gives the model the weights that it shall leave."""
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
        state = state_of(self._model)
        for name, tensor in state.items():
            take(tensor, tensors, f"now.{name}")
        best = {n.removeprefix("best."): t for n, t in tensors.items() if n.startswith("best.")}
        for name in best.keys() & state.keys():
            require_like(state[name], best[name], name)
        self._watch.resume(best, facts)
        self._steps.resume(tensors, facts)
        self._curve = [Progress(**point) for point in facts["curve"]]
        self._stopped = "patience" if facts["stopped"] == "patience" else None

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
        if self._file is None or not self._file.due:
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

    While masks still take something away, a later state replaces an earlier, better one: it was
    better because it was larger. Where the last weights are wanted, a later state always does.
    """

    def __init__(self, model: TrainedModel, patience: int, *, last: bool) -> None:
        self._model, self._patience, self._last = model, patience, last
        self._checkpoint = Checkpoint(model)
        self._best, self._entries, self._waited = -math.inf, math.inf, 0

    def see(self, quality: float) -> bool:
        """Takes note of a validation, larger is better; False once patience is exhausted."""
        entries = entries_kept(self._model)
        if self._last or entries < self._entries or quality > self._best:
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
        self._best, self._entries = float(facts["best"]), float(facts["entries"])
        self._waited = whole(facts, "waited")

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
