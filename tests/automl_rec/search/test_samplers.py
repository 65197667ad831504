"""Samplers by name and their seeds."""

import warnings
from typing import Any, cast

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

from automl_rec.search.samplers import BranchSampler, derive_seed, make_sampler


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


def told(sampler: TPESampler, trials: int) -> list[dict[str, Any]]:
    """What a sampler draws for so many trials of three numbers, told what each is worth."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    found = []
    for _ in range(trials):
        trial = study.ask()
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_int("y", 1, 9)
        z = trial.suggest_categorical("z", ("a", "b"))
        study.tell(trial, [x * (z == "a"), y])
        found.append(trial.params)
    return found


def test_where_all_trials_have_one_group_the_draws_are_those_of_optuna() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optunas = TPESampler(multivariate=True, group=True, constant_liar=True, seed=5)
    assert told(cast("TPESampler", make_sampler("tpe", 5)), 30) == told(optunas, 30)


def test_only_the_groups_of_a_trials_own_branch_are_drawn() -> None:
    sampler = cast("BranchSampler", make_sampler("tpe", 0))
    study = optuna.create_study(sampler=sampler)
    drawn = 0
    for _ in range(60):
        trial = study.ask()
        kind = trial.suggest_categorical("kind", ("a", "b", "c"))
        total = sum(trial.suggest_float(f"{kind}.{name}", 0, 1) for name in "xy")
        study.tell(trial, total)
        assert sampler._drawn in ({}, trial.params)
        drawn += bool(sampler._drawn)
    # Ten begin at random; then a branch may still be met for the first time.
    assert drawn >= 48


def test_a_value_whose_domain_has_changed_is_drawn_from_the_new_one() -> None:
    study = optuna.create_study(sampler=make_sampler("tpe", 0))
    for trial_number in range(40):
        low = 0 if trial_number < 20 else 5
        trial = study.ask()
        x = trial.suggest_float("x", low, low + 1)
        assert low <= x <= low + 1
        study.tell(trial, x)


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
