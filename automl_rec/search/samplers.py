"""Samplers by name, seeded so that a continued study never repeats itself."""

import hashlib
import warnings
from typing import Any, Literal, TypeAlias, get_args

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

SamplerName: TypeAlias = Literal["tpe", "nsga2", "random"]
POPULATION = 20
"""NSGA-II's generation: studies have tens to hundreds of trials, Optuna's 50 would be random."""


class BranchSampler(TPESampler):
    """TPE that draws a group of hyperparameters when a trial comes to it.

    Optuna's draws all groups for every trial, those of components not chosen as well, and looks at
    every trial so far for each. A group is drawn here as there, but in another order, so that equal
    seeds give other configurations than Optuna's own.
    """

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Finds the groups; what is drawn from them is left to `sample_independent`."""
        super().infer_relative_search_space(study, trial)
        self._drawn: dict[str, Any] = {}
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value drawn with the rest of its group; alone where no trial has had it so."""
        group = self._group_of(param_name)
        if group.get(param_name) != param_distribution:
            return super().sample_independent(study, trial, param_name, param_distribution)
        if param_name not in self._drawn:
            self._drawn |= self.sample_relative(study, trial, group)
        if param_name not in self._drawn:
            return super().sample_independent(study, trial, param_name, param_distribution)
        return self._drawn[param_name]

    def _group_of(self, name: str) -> dict[str, BaseDistribution]:
        groups = self._search_space_group.search_spaces if self._search_space_group else []
        return next((group for group in groups if name in group), {})


def make_sampler(name: SamplerName, seed: int) -> BaseSampler:
    """The sampler of a name.

    Raises:
        ValueError: no sampler has that name.
    """
    match name:
        case "tpe":
            return _tpe(seed)
        case "nsga2":
            return NSGAIISampler(population_size=POPULATION, seed=seed)
        case "random":
            return RandomSampler(seed=seed)
        case _:
            raise ValueError(f"the sampler must be one of {get_args(SamplerName)}, got {name!r}")


def derive_seed(*parts: str | int) -> int:
    """A seed in 0..2**31 - 1 from the study's seed and whatever tells this use from others."""
    text = "\x00".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _tpe(seed: int) -> TPESampler:
    with warnings.catch_warnings():
        # Optuna calls `group` and `multivariate` experimental; conditional spaces need both.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return BranchSampler(multivariate=True, group=True, constant_liar=True, seed=seed)
