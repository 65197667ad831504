"""Optuna's view of a study, held in memory: a suggestion waits for no database."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.trial import Trial, TrialState, create_trial

from automl_rec.errors import Infeasible
from automl_rec.objectives import is_quality
from automl_rec.objectives.objective import Direction, Objective
from automl_rec.search.suggest import Place, place, suggest
from automl_rec.space.configuration import Configuration

if TYPE_CHECKING:
    from automl_rec.space.space import Space


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a sampler may learn of one configuration.

    Attributes:
        values: objective name -> value; None where there is no full measurement, which counts
            behind every measured configuration.
        violations: objective name -> how far its value lies beyond its bound; <= 0 is feasible.
    """

    values: Mapping[str, float] | None = None
    violations: Mapping[str, float] = field(default_factory=dict)


NOTHING_GAINED = Lesson()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A configuration with the Optuna trial that must be told of it."""

    configuration: Configuration
    trial: Trial = field(repr=False)


class Suggestions:
    """Asks a sampler and tells it; those asked and not yet told count as poor meanwhile.

    Costs are told as logarithms, and a logloss as the probability it stands for, so that the
    sampler's trade-offs are those of the hypervolume.
    """

    def __init__(
        self, space: "Space", objectives: Sequence[Objective], sampler: BaseSampler
    ) -> None:
        self._space, self._objectives = space, tuple(objectives)
        self._genetic = sampler if isinstance(sampler, NSGAIISampler) else None
        self._study = study_in_memory([o.direction for o in self._objectives], sampler)

    def ask(self) -> Suggestion:
        """A configuration drawn by the sampler; refused draws are told to it and drawn again.

        Raises:
            Infeasible: a hundred draws in a row could not stand together.
        """
        for _ in range(100):
            trial = self._study.ask()
            try:
                return Suggestion(suggest(self._space, trial), trial)
            except Infeasible as error:
                refusal = error
                self._study.tell(trial, state=TrialState.PRUNED)
        raise refusal

    def tell(self, suggestion: Suggestion, lesson: Lesson) -> None:
        """Teaches what became of a suggestion."""
        self._tell(suggestion.trial, lesson)

    def forget(self, suggestion: Suggestion) -> None:
        """Closes a suggestion that teaches nothing."""
        self._study.tell(suggestion.trial, state=TrialState.FAIL)

    def learn(self, configuration: Configuration, lesson: Lesson) -> None:
        """Teaches of a configuration not asked for here; one outside the space is left out."""
        found = place(self._space, configuration)
        if found is None:
            return
        if self._genetic is None:
            self._add(found, lesson)
        else:
            self._replay(found, lesson, self._genetic)

    def _replay(self, found: Place, lesson: Lesson, sampler: NSGAIISampler) -> None:
        """Adds a trial as if the sampler had drawn it, so that it is booked into a generation."""
        self._study.enqueue_trial(found.values)
        trial = self._study.ask()
        suggest(self._space, trial)
        sampler.get_trial_generation(self._study, self._study.get_trials(deepcopy=False)[-1])
        self._tell(trial, lesson)

    def _tell(self, trial: Trial, lesson: Lesson) -> None:
        for name, violation in lesson.violations.items():
            trial.set_constraint(name, violation)
        values = self._values(lesson)
        self._study.tell(trial, values, _state(values), skip_if_finished=False)

    def _add(self, found: Place, lesson: Lesson) -> None:
        values = self._values(lesson)
        self._study.add_trial(
            create_trial(
                state=_state(values),
                values=values,
                params=found.values,
                distributions=found.distributions,
                constraints=dict(lesson.violations),
            )
        )

    def _values(self, lesson: Lesson) -> list[float] | None:
        if lesson.values is None:
            return None
        return [_axis(o, lesson.values[o.name]) for o in self._objectives]


def _state(values: list[float] | None) -> TrialState:
    return TrialState.PRUNED if values is None else TrialState.COMPLETE


def _axis(objective: Objective, value: float) -> float:
    if objective.direction == "maximize":
        return value
    return -math.exp(-value) if is_quality(objective.name) else math.log(max(value, 1e-12))


def study_in_memory(directions: list[Direction], sampler: BaseSampler) -> optuna.Study:
    """An Optuna study that no database knows; Optuna says nothing of it."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=directions, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
