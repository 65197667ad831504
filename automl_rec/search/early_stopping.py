"""Early stopping across trials: a training that can no longer reach the front ends.

A running trial i is stopped after epoch t when a finished trial j costs no more in every known
respect and q_j(T) >= q_i(t) + g_t; a quality whose smaller values are better counts as its
negative. The bound g_t is a high quantile of what finished trials of the same model still gained
after epoch t (of all models while the model has too few): an optimistic forecast, so that the front
is hardly ever robbed of a member.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from automl_rec.objectives import is_quality
from automl_rec.objectives.objective import Objective

QUANTILE = 0.95
Curve = Sequence[tuple[int, float]]
"""(epoch, quality) pairs, epochs increasing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a trial stands, running or finished.

    Attributes:
        model: name of its model: curves of one model are alike.
        costs: objective name -> cost; of a running trial the least it can be.
        curve: quality after epochs, larger for the better; of a finished trial empty where its
            training was cut short or had none.
        quality: likewise the best so far; of a finished trial the quality measured.
    """

    model: str
    costs: Mapping[str, float]
    curve: Curve
    quality: float


class Rule(Protocol):
    """Decides which running trials go on."""

    def add(self, finished: Standing) -> None:
        """Learns from a trial that was trained to its end."""

    def stops(self, running: Standing) -> bool:
        """Whether a running trial ends here."""


class NoStopping:
    """Lets every training run to its end."""

    def add(self, finished: Standing) -> None:
        """Learns nothing."""

    def stops(self, running: Standing) -> bool:
        """False."""
        return False


class SafeStopping:
    """Dominance with an optimistic bound (see the module).

    Args:
        costs: the costs compared, by name.
        min_epochs: no training is stopped before.
        min_finished: nor before so many trainings have finished.
    """

    def __init__(self, costs: Sequence[str], *, min_epochs: int, min_finished: int) -> None:
        self._names, self._min_epochs = tuple(costs), min_epochs
        self._least = max(1, min_finished)
        self._costs: list[list[float]] = []
        self._qualities: list[float] = []
        self._curves: dict[str, list[_Gains]] = {}

    def add(self, finished: Standing) -> None:
        """See `Rule.add`."""
        self._costs.append([finished.costs[name] for name in self._names])
        self._qualities.append(finished.quality)
        if len(finished.curve) > 1:
            self._curves.setdefault(finished.model, []).append(_Gains.of(finished.curve))

    def stops(self, running: Standing) -> bool:
        """See `Rule.stops`."""
        epoch = running.curve[-1][0]
        if epoch < self._min_epochs:
            return False
        gain = self._gain(running.model, epoch)
        if gain is None:
            return False
        mine = np.array([running.costs[name] for name in self._names])
        costs = np.reshape(self._costs, (len(self._qualities), len(self._names)))
        cheaper = (costs <= mine).all(axis=1)
        better = np.asarray(self._qualities) >= running.quality + gain
        return bool((cheaper & better).any())

    def _gain(self, model: str, epoch: int) -> float | None:
        """The bound g_t, or None while too few curves are known."""
        curves = self._curves.get(model, [])
        if len(curves) < self._least:
            curves = [curve for family in self._curves.values() for curve in family]
        if len(curves) < self._least:
            return None
        # Gains only shrink: beyond the last epoch that enough curves reached, theirs still bound.
        reached = sorted((curve.last for curve in curves), reverse=True)[self._least - 1]
        at = min(epoch, reached)
        gains = [curve.after(at) for curve in curves if curve.last >= at]
        return float(np.quantile(gains, QUANTILE, method="higher"))


def make_rule(
    name: str, objectives: Sequence[Objective], *, min_epochs: int, min_finished: int
) -> tuple[Rule, str | None]:
    """The rule of a name, with a sentence where it cannot decide on these objectives."""
    if name == "none":
        return NoStopping(), None
    costs, undecided = compared_costs(objectives)
    if undecided:
        return NoStopping(), (
            f"Early stopping is off: nothing bounds {' and '.join(undecided)} before a training "
            f"ends."
        )
    return SafeStopping(costs, min_epochs=min_epochs, min_finished=min_finished), None


def compared_costs(objectives: Sequence[Objective]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The costs that dominance compares, and the objectives that it cannot judge.

    Latency is only known when it is measured; operations and bytes, both, stand for it. A second
    quality has no curve, so nothing can be said of it.
    """
    costs: dict[str, None] = {}
    undecided = []
    qualities = [o.name for o in objectives if is_quality(o.name)]
    for objective in objectives:
        if objective.priced or objective.name == "train_seconds":
            costs[objective.name] = None
        elif objective.name == "latency_ms":
            costs |= {"operations": None, "bytes": None}
        elif objective.name != qualities[0]:
            undecided.append(objective.name)
    return tuple(costs), tuple(undecided)


@dataclass(frozen=True, slots=True)
class _Gains:
    """What one finished training still gained after each epoch."""

    epochs: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]

    @classmethod
    def of(cls, curve: Curve) -> "_Gains":
        epochs = np.array([epoch for epoch, _ in curve])
        best = np.maximum.accumulate([quality for _, quality in curve])
        return cls(epochs, best[-1] - best)

    @property
    def last(self) -> int:
        return int(self.epochs[-1])

    def after(self, epoch: int) -> float:
        """The gain after the last evaluation up to an epoch; before the first, after the first."""
        position = int(np.searchsorted(self.epochs, epoch, side="right")) - 1
        return float(self.gains[max(position, 0)])
