"""Samplers by name, seeded so that a continued study never repeats itself."""

import hashlib
import warnings
from typing import Literal, TypeAlias, get_args

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

SamplerName: TypeAlias = Literal["tpe", "nsga2", "random"]
POPULATION = 20
"""NSGA-II's generation: studies have tens to hundreds of trials, Optuna's 50 would be random."""


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
        return TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
