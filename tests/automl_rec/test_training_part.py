"""What decides a training, and what acts on the finished model alone."""

from dataclasses import replace

import pytest

from automl_rec.plugin import Value
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.settings import settings_of
from automl_rec.training_part import training_part

REGISTRY = Registry.discover()


def chosen(kind: str, name: str, **values: Value) -> Chosen:
    return Chosen(name, settings_of(REGISTRY.component(kind, name), **values))  # type: ignore[arg-type]


PLAIN = Configuration(
    chosen("model", "bpr-mf"),
    chosen("embedding", "full"),
    chosen("rank", "full"),
    chosen("sparsity", "none"),
)


def part(configuration: Configuration) -> str:
    return training_part(configuration, REGISTRY).digest


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("rank", chosen("rank", "svd", allocation="uniform", ratio=0.3, tune=0.0)),
        ("rank", chosen("rank", "afm")),
        ("sparsity", chosen("sparsity", "magnitude", mode="one-shot")),
        ("sparsity", chosen("sparsity", "nm", mode="one-shot")),
        ("embedding", chosen("embedding", "full", precision="int8")),
    ],
)
def test_what_acts_after_training_decides_no_training(kind: str, one: Chosen) -> None:
    changed = replace(PLAIN, **{kind: one})
    assert changed != PLAIN
    assert part(changed) == part(PLAIN)


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("model", chosen("model", "bpr-mf", width=8)),
        ("embedding", chosen("embedding", "fixed-dim")),
        ("rank", chosen("rank", "svd", tune=0.5)),
        ("rank", chosen("rank", "maestro")),
        ("sparsity", chosen("sparsity", "magnitude", mode="gradual")),
        ("sparsity", chosen("sparsity", "dst")),
    ],
)
def test_what_acts_in_training_decides_it(kind: str, one: Chosen) -> None:
    assert part(replace(PLAIN, **{kind: one})) != part(PLAIN)


def test_two_configurations_that_train_alike_have_one_part() -> None:
    one = replace(PLAIN, sparsity=chosen("sparsity", "magnitude", density=0.3))
    other = replace(PLAIN, rank=chosen("rank", "svd"))
    assert training_part(one, REGISTRY) == training_part(other, REGISTRY)
    assert training_part(one, REGISTRY).rank is None


def test_the_precision_of_prefixes_decides_what_a_budget_serves() -> None:
    def of(precision: str, **sized: Value) -> str:
        made = chosen("embedding", "matryoshka", precision=precision, **sized)
        return part(replace(PLAIN, embedding=made))

    assert of("fp32", sized_by="level", level=1) == of("int8", sized_by="level", level=1)
    assert of("fp32", sized_by="budget") != of("int8", sized_by="budget")


def test_only_fitted_steps_leave_the_bits_to_the_finished_table() -> None:
    def of(bits: int, steps: str) -> str:
        made = chosen("embedding", "quant", sized_by="bits", bits=bits, steps=steps)
        return part(replace(PLAIN, embedding=made))

    assert of(8, "fitted") == of(4, "fitted")
    assert of(8, "learned") != of(4, "learned")
