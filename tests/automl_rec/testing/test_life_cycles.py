"""The contract of life cycles catches embeddings that break it."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from automl_rec.plugin import Component, Embedding, Field, PlainTable, Step, Table
from automl_rec.registry import Plugin, Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import configuration_of
from automl_rec.testing.hosts import registry_with_hosts
from automl_rec.testing.life_cycles import LifeCycleTests
from automl_rec.testing.planted import planted_tiny

CATALOG = planted_tiny().catalog


class Careless(PlainTable):
    """Keeps a gate that it has no more use for, a buffer it never reads, and grows when real."""

    extra: torch.Tensor

    def __init__(self, field: Field, generator: torch.Generator) -> None:
        super().__init__(field, generator)
        self.gate = nn.Parameter(torch.ones(field.width))
        self.register_buffer("extra", torch.ones(3))

    def settle(self) -> None:
        if not self.extra.is_meta:
            self.extra = torch.ones(5)


class Impatient(Embedding):
    """Counts its steps where no checkpoint sees it, and moves rows by the count."""

    def __init__(self) -> None:
        self.steps = 0
        self.tables: list[PlainTable] = []

    def table(self, field: Field, generator: torch.Generator) -> Table:
        self.tables.append(Careless(field, generator))
        return self.tables[-1]

    def after_step(self, step: Step) -> None:
        self.steps += 1
        with torch.no_grad():
            self.tables[0].store.trainable.add_(0.01 * self.steps)


IMPATIENT = Component(
    kind="embedding",
    name="impatient",
    summary="For tests.",
    source="Ours.",
    implementation=f"{__name__}:Impatient",
)
REGISTRY = Registry(
    [*registry_with_hosts().plugins, Plugin("test", "test", "0", components=(IMPATIENT,))]
)


class ImpatientTests(LifeCycleTests):
    name = "impatient"
    hosts: ClassVar[tuple[str, ...]] = ("host-factorization",)

    @classmethod
    def configurations(cls) -> list[Configuration]:
        parts = {"embedding": Chosen("impatient")}
        return [configuration_of(REGISTRY, "host-factorization", compressions=parts)]  # type: ignore[arg-type]


(CONFIGURATION,) = ImpatientTests.configurations()
SUITE = ImpatientTests()


def test_shapes_that_the_meta_device_does_not_know_are_caught() -> None:
    with pytest.raises(AssertionError):
        SUITE.test_what_settles_on_the_meta_device_has_the_same_tensors(
            CONFIGURATION, CATALOG, REGISTRY
        )


def test_what_still_learns_is_caught() -> None:
    with pytest.raises(AssertionError, match="gate"):
        SUITE.test_a_finished_table_holds_nothing_that_learns(CONFIGURATION, CATALOG, REGISTRY)


def test_what_is_never_read_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Careless, "settle", lambda table: None)
    with pytest.raises(AssertionError, match="gate is stored, but all answers are the same"):
        SUITE.test_every_tensor_of_a_finished_table_is_read(REGISTRY)


def test_hooks_that_no_checkpoint_knows_are_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        SUITE.test_a_training_stopped_in_every_epoch_ends_as_if_it_had_not(
            CONFIGURATION, CATALOG, REGISTRY, tmp_path
        )


def test_hooks_that_change_what_is_kept_alone_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(self: Impatient, step: Step) -> None:
        with torch.no_grad():
            self.tables[0].store.trainable.add_(0.01 * step.number)

    monkeypatch.setattr(Impatient, "after_step", moved)
    SUITE.test_a_training_stopped_in_every_epoch_ends_as_if_it_had_not(
        CONFIGURATION, CATALOG, REGISTRY, tmp_path
    )
