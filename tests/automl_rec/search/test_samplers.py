"""Samplers by name and their seeds."""

import warnings

import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

from automl_rec.search.samplers import derive_seed, make_sampler


def test_every_name_gives_its_sampler_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(make_sampler("tpe", 0), TPESampler)
        assert isinstance(make_sampler("nsga2", 0), NSGAIISampler)
        assert isinstance(make_sampler("random", 0), RandomSampler)


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        make_sampler("grid", 0)  # type: ignore[arg-type]


def test_equal_seeds_draw_alike_and_others_differ() -> None:
    def draws(seed: int) -> list[float]:
        study = optuna.create_study(
            directions=["maximize", "minimize"], sampler=make_sampler("tpe", seed)
        )
        found = []
        for _ in range(14):
            trial = study.ask()
            x = trial.suggest_float("x", 0, 1)
            study.tell(trial, [x, x])
            found.append(x)
        return found

    assert draws(5) == draws(5)
    assert draws(5) != draws(6)


def test_seeds_depend_on_every_part_and_on_where_parts_end() -> None:
    seeds = {
        derive_seed(1, "sampler", 0),
        derive_seed(1, "sampler", 1),
        derive_seed(2, "sampler", 0),
        derive_seed(1, "draws", 0),
        derive_seed(11, "2"),
        derive_seed(1, "12"),
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert derive_seed(1, "sampler", 0) == derive_seed(1, "sampler", 0)
