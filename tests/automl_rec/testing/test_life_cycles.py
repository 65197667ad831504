"""The contract of life cycles catches embeddings that break it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from automl_rec.builder import finalize
from automl_rec.plugin import (
    Component,
    Embedding,
    Field,
    Form,
    Loss,
    LowRankMatrix,
    Phase,
    PlainTable,
    Product,
    Rank,
    Step,
    Table,
    TrainableMatrix,
    Weight,
    dense_form,
)
from automl_rec.registry import Plugin, Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import configuration_of, trained
from automl_rec.testing.hosts import registry_with_hosts
from automl_rec.testing.life_cycles import LifeCycleTests
from automl_rec.testing.planted import planted_tiny
from automl_rec.testing.settings import settings_of

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


class Factors(Rank):
    """Factors of rank 2 from the first step on, drawn towards 0, that it steps by itself."""

    maskable = True

    def __init__(self) -> None:
        self.factors: list[TrainableMatrix] = []

    @property
    def acts_in_training(self) -> bool:
        return True

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("loose", 0.5), Phase("tight", 0.5))

    def owned(self) -> Iterable[nn.Parameter]:
        return [factor.weight for factor in self.factors]

    def join(self, weights: Mapping[str, Weight]) -> None:
        for weight in weights.values():
            left, right = TrainableMatrix(weight.rows, 2), TrainableMatrix(weight.columns, 2)
            if not left.weight.is_meta:
                with torch.no_grad():
                    left.weight.copy_(weight.matrix.dense()[:, :2])
                    right.weight.copy_(torch.eye(weight.columns, 2))
            weight.matrix = LowRankMatrix(left, right)
            left.register_buffer("pulls", torch.zeros(()))
            self.factors += [left, right]

    def loss(self, own: Loss) -> Tensor:
        return own() + 0.01 * sum(
            (factor.weight.square().sum() for factor in self.factors), torch.zeros(())
        )

    def after_backward(self, step: Step) -> None:
        pulls = self.factors[0].get_buffer("pulls")
        with torch.no_grad():
            pulls.add_(1.0)
            for factor in self.factors:
                assert factor.weight.grad is not None, "what it owns has slopes here"
                factor.weight.sub_(step.learning_rate / pulls * factor.weight.grad)

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        made: dict[str, Form] = {}
        for name, form in forms.items():
            (leaf,) = form.leaves()
            sides = int(leaf.rows.low), int(leaf.columns.low)
            made[name] = Product(*(dense_form(side, 2) for side in sides))
        return made

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """Factors are what they shall be."""


FACTORS = Component(
    kind="rank",
    name="factors",
    summary="For tests.",
    source="Ours.",
    implementation=f"{__name__}:Factors",
)
WITH_FACTORS = Registry(
    [*registry_with_hosts().plugins, Plugin("test", "test", "0", components=(FACTORS,))]
)
GRADUAL = Chosen("magnitude", {"density": 0.5, "mode": "gradual", "scope": "uniform", "every": 1})


@pytest.mark.parametrize("sparsity", [Chosen("none"), GRADUAL], ids=["whole", "masked"])
@pytest.mark.parametrize("embedding", ["full", "pep"])
def test_factors_and_masks_take_part_in_training_with_an_embedding(
    embedding: str, sparsity: Chosen, tmp_path: Path
) -> None:
    settings = settings_of(WITH_FACTORS.component("embedding", embedding))
    configuration = configuration_of(
        WITH_FACTORS,
        "host-factorization",
        compressions={
            "embedding": Chosen(embedding, settings),
            "rank": Chosen("factors"),
            "sparsity": sparsity,
        },
    )
    suite = type("Suite", (LifeCycleTests,), {})()
    suite.test_what_is_served_costs_its_price_and_comes_back_from_its_file(
        configuration, CATALOG, WITH_FACTORS, tmp_path
    )
    suite.test_a_training_stopped_in_every_epoch_ends_as_if_it_had_not(
        configuration, CATALOG, WITH_FACTORS, tmp_path
    )
    suite.test_it_can_be_served_before_any_training(configuration, CATALOG, WITH_FACTORS, tmp_path)
    built = trained(configuration, CATALOG, WITH_FACTORS)
    served = finalize(built).structure()["layouts"]
    layouts = {layout["layout"]: layout for layout in served.values()}
    left = layouts["low-rank"]["left"]
    whole = left["rows"] * left["columns"]
    assert left["entries"] == (whole if sparsity.name == "none" else round(0.5 * whole))
