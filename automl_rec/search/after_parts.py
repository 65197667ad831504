"""After-parts: what else can be made of a training that has ended, for the seconds it takes.

Configurations that share a training part (`automl_rec.training_part`) differ in what acts on the
finished model alone. Those worth most are measured as trials derived from the one that trained,
their parent: first the one from which the largest gain of hypervolume is expected, by its price and
by what the same components changed in the derived trials so far.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from automl_rec import pareto
from automl_rec.errors import AutomlRecError, Infeasible
from automl_rec.objectives import is_quality
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.pareto import Values
from automl_rec.plugin import Value
from automl_rec.search.enumeration import configurations, draw
from automl_rec.search.pricing import Priced, Pricing
from automl_rec.search.samplers import derive_seed
from automl_rec.search.suggest import place
from automl_rec.space.configuration import Configuration
from automl_rec.storage.records import DERIVED, TrialRecord

if TYPE_CHECKING:
    from automl_rec.space.space import Space

LOOKED_AT = 32
"""So many after-parts of a training are priced, or as many as are wanted; else a sample of all."""
DRAWS = 4
"""Draws for each of the sample: some share no training, or are drawn again."""
LEAST_GAIN = 1e-3
"""Of the hypervolume: an after-part that promises less is not measured."""
LOSS = 0.1
"""A quality is thought to rise and fall, before anything is known, as bytes to this power."""
SMALLEST = 1e-12
Change: TypeAlias = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A configuration worth measuring, made of a training that is kept."""

    configuration: Configuration
    training: str


@dataclass(frozen=True, slots=True)
class _Made:
    """What could be made of a training.

    Attributes:
        share: by `_share`, of the parent's bytes.
        change: by `_change_of`, from the parent.
    """

    configuration: Configuration
    digest: str
    priced: Priced
    share: float
    change: Change


@dataclass(slots=True)
class _Parent:
    """A trial that trained, and what may be made of it, once that was looked at.

    Attributes:
        points: where the made are expected to stand; None where that is to be computed.
    """

    trial: TrialRecord
    made: list[_Made] | None = None
    points: Values | None = None


@dataclass(frozen=True, slots=True)
class _Expected:
    """Measurements as they are expected, to be compared with those of trials."""

    measurements: Mapping[str, Measurement]
    state: Literal["complete"] = "complete"

    @classmethod
    def of(cls, values: Mapping[str, float]) -> "_Expected":
        return cls({name: Measurement(value) for name, value in values.items()})


class AfterParts:
    """Finds what to derive next from the trainings that are kept.

    Args:
        space: the study's.
        objectives: of the study.
        pricing: on the study's catalog.
        training_part: of a configuration.
        most: trials derived from one parent, at most; 0 for none.
        seed: of the sample looked at.
    """

    def __init__(
        self,
        space: "Space",
        objectives: Sequence[Objective],
        pricing: Pricing,
        training_part: Callable[[Configuration], Configuration],
        *,
        most: int,
        seed: int,
    ) -> None:
        self._space, self._objectives, self._pricing = space, tuple(objectives), pricing
        self._training_part, self._most, self._seed = training_part, most, seed
        self._looked_at = max(LOOKED_AT, most)
        self._known: set[str] = set()
        self._trials: dict[int, TrialRecord] = {}
        self._children: dict[int, set[str]] = {}
        self._changes: dict[Change, list[tuple[float, tuple[float, ...]]]] = {}
        self._open: dict[int, _Parent] = {}
        self._on_their_way: dict[str, Values] = {}
        self._settled = False

    def training_of(self, configuration: Configuration) -> str:
        """The digest of a configuration's training part."""
        return self._training_part(configuration).digest

    def possible(self, configuration: Configuration) -> bool:
        """Whether the space has other configurations that may share its training."""
        found = place(self._space, configuration)
        if self._most == 0 or found is None:
            return False
        # `place` has asked for every choice that is open.
        part = self._training_part(configuration)
        return not all(_decides(name, part) for name in found.values)

    @property
    def trainings(self) -> set[str]:
        """The trainings from which something may still be derived."""
        return {parent.trial.training for parent in self._open.values()}

    def learn(self, trial: TrialRecord) -> None:
        """Takes note of a trial; of one derived, of what its after-part changed."""
        self._settled = False
        self._known.add(trial.digest)
        self._on_their_way.pop(trial.digest, None)
        if trial.origin == DERIVED and trial.parent is not None:
            self._children.setdefault(trial.parent, set()).add(trial.digest)
        if trial.state != "complete" or not trial.training:
            return
        self._trials[trial.number] = trial
        parent = self._trials.get(-1 if trial.parent is None else trial.parent)
        if parent is not None:
            self._compare(trial, parent)

    def open(self, trial: TrialRecord) -> None:
        """Lets trials be derived from one that trained."""
        if self.possible(Configuration.from_dict(trial.configuration)):
            self._settled = False
            self._open[trial.number] = _Parent(trial)

    def next(self, front: Sequence[TrialRecord]) -> Derived | None:
        """What promises enough beside the front; None where nothing does, for what is known."""
        if self._settled:
            return None
        on_front = {member.training for member in front}
        before = pareto.scaled(front, self._objectives)
        before = np.vstack([before, *(point[None] for point in self._on_their_way.values())])
        for number, parent in list(self._open.items()):
            children = self._children.setdefault(number, set())
            found = self._best(parent, before) if len(children) < self._most else None
            if found is not None:
                made, point = found
                children.add(made.digest)
                self._known.add(made.digest)
                self._on_their_way[made.digest] = point
                return Derived(made.configuration, parent.trial.training)
            if len(children) >= self._most or parent.trial.training not in on_front:
                del self._open[number]
        self._settled = True
        return None

    def _best(self, parent: _Parent, before: Values) -> tuple[_Made, Values] | None:
        """What promises most of what can be made of a training, with its expected values."""
        if parent.made is None:
            parent.made = list(self._made_of(parent.trial))
        made = [one for one in parent.made if one.digest not in self._known]
        if not made:
            return None
        # Asked again before every trial: what has not changed is not computed again.
        if parent.points is None or len(made) < len(parent.made):
            parent.made, parent.points = made, self._expected(parent, made)
        expected = parent.points
        reference = np.ones(len(self._objectives))
        volume = pareto.hypervolume(before, reference)
        beaten = [bool((before <= point).all(axis=1).any()) for point in expected]
        volumes = [
            0.0 if dominated else pareto.hypervolume(np.vstack([before, point]), reference)
            for dominated, point in zip(beaten, expected, strict=True)
        ]
        best = int(np.argmax(volumes))
        enough = volumes[best] - volume > LEAST_GAIN * volume
        return (made[best], expected[best]) if enough else None

    def _made_of(self, trial: TrialRecord) -> Iterator[_Made]:
        """What keeps the bounds of what can be made of a training."""
        configuration = Configuration.from_dict(trial.configuration)
        whole = self._pricing(configuration)
        for found in self._others(trial):
            with contextlib.suppress(Exception):  # a plugin may raise anything
                priced = self._pricing(found)
                if not priced.refused:
                    change = _change_of(found, trial)
                    yield _Made(found, found.digest, priced, _share(priced, whole), change)

    def _others(self, trial: TrialRecord) -> list[Configuration]:
        """The configurations of the space that share a trial's training, or a sample of them."""
        fixed = self._fixed(Configuration.from_dict(trial.configuration))
        try:
            listed = list(itertools.islice(configurations(self._space, fixed), self._looked_at + 1))
        except ValueError:  # real numbers have no end
            return self._drawn(trial.training, fixed)
        if len(listed) > self._looked_at:
            return self._drawn(trial.training, fixed)
        return [one for one in listed if self._shares(one, trial.training)]

    def _drawn(self, training: str, fixed: Mapping[str, Value]) -> list[Configuration]:
        generator = np.random.default_rng(derive_seed(self._seed, "after-parts", training))
        found: dict[str, Configuration] = {}
        for _ in range(DRAWS * self._looked_at):
            if len(found) == self._looked_at:
                break
            with contextlib.suppress(Infeasible):
                one = draw(self._space, generator, fixed)
                if self._shares(one, training):
                    found[one.digest] = one
        return list(found.values())

    def _shares(self, configuration: Configuration, training: str) -> bool:
        try:
            return self.training_of(configuration) == training
        except Exception:  # noqa: BLE001 - a plugin may raise anything
            return False

    def _fixed(self, configuration: Configuration) -> dict[str, Value]:
        """The choices that a configuration's training rests on."""
        part = self._training_part(configuration)
        found = place(self._space, configuration)
        return {} if found is None else {n: v for n, v in found.values.items() if _decides(n, part)}

    def _expected(self, parent: _Parent, made: Sequence[_Made]) -> Values:
        """Where configurations are expected to stand, as `pareto.scaled`; float64 (N, K)."""
        known = {name: found.value for name, found in parent.trial.measurements.items()}
        priced = [o.name for o in self._objectives if o.priced]
        values = [known | {name: one.priced.high[name] for name in priced} for one in made]
        points = pareto.scaled([_Expected.of(one) for one in values], self._objectives)
        changes = np.array([self._change(one) for one in made])
        return self._scaled(self._additive(points) + changes)

    def _change(self, made: _Made) -> Values:
        """What an after-part is expected to add to what is not priced.

        Between what the same components added at other shares of the bytes, and nothing at all of
        them; beyond those known, as if nothing were known.
        """
        known = self._changes.get(made.change, [])
        shares, added = zip(*sorted([*known, (0.0, (0.0,) * len(self._objectives))]), strict=True)
        between = [np.interp(made.share, shares, axis) for axis in zip(*added, strict=True)]
        beyond = LOSS * (made.share - np.clip(made.share, shares[0], shares[-1]))
        return np.array(between) + np.where(self._qualities, beyond, 0.0)

    def _compare(self, trial: TrialRecord, parent: TrialRecord) -> None:
        """Notes what an after-part added."""
        both = self._additive(pareto.scaled([trial, parent], self._objectives))
        if not np.isfinite(both).all():
            return
        added = np.where([o.priced for o in self._objectives], 0.0, both[0] - both[1])
        with contextlib.suppress(AutomlRecError):
            made, whole = (Configuration.from_dict(t.configuration) for t in (trial, parent))
            share = _share(self._pricing(made), self._pricing(whole))
            if share != 0:  # nothing is known to add nothing
                self._changes.setdefault(_change_of(made, parent), []).append((share, tuple(added)))
                for one in self._open.values():
                    one.points = None

    @property
    def _qualities(self) -> list[bool]:
        return [is_quality(objective.name) for objective in self._objectives]

    def _additive(self, points: Values) -> Values:
        """Points with the logarithms of what qualities are worth: what is lost in part is added."""
        worth = np.log(np.maximum(1 - points, SMALLEST))
        return np.where(self._qualities, worth, points)

    def _scaled(self, points: Values) -> Values:
        """The points that `_additive` made these of."""
        return np.where(self._qualities, 1 - np.exp(points), points)


def _decides(name: str, part: Configuration) -> bool:
    """Whether a choice, by its dotted name, is one that a training part rests on."""
    kind, _, rest = name.partition(".")
    chosen = part.chosen(kind)  # type: ignore[arg-type]
    if chosen is None:
        return False
    return not rest or rest.removeprefix(f"{chosen.name}.") in chosen.hyperparameters


def _share(made: Priced, whole: Priced) -> float:
    """The logarithm of the part of the bytes that is left, at most."""
    return math.log(max(made.high["bytes"], 1.0) / max(whole.high["bytes"], 1.0))


def _change_of(made: Configuration, parent: TrialRecord) -> Change:
    """The rank and sparsity of a parent, and of what is made of its training."""
    whole = Configuration.from_dict(parent.configuration)
    chosen = (whole.rank, whole.sparsity, made.rank, made.sparsity)
    return tuple(None if part is None else part.name for part in chosen)
