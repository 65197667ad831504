"""The contract of sparsities."""

from typing import ClassVar

import torch
from torch import Tensor

from automl_rec.builder import Built, build, finalize
from automl_rec.plugin import (
    Catalog,
    Kind,
    LifeCycle,
    Step,
    TrainableMatrix,
    TrainedModel,
    Weight,
    leaves,
)
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from automl_rec.testing.contract import trained
from automl_rec.testing.life_cycles import LifeCycleTests
from automl_rec.training.trainer import train


class SparsityTests(LifeCycleTests):
    """Tests every sparsity must pass; subclass it and set ``name``."""

    kind: ClassVar[Kind] = "sparsity"
    hosts: ClassVar[tuple[str, ...]] = (
        "host-factorization",
        "host-likeness",
        "host-neighbours",
        "host-fields",
    )

    def test_the_description_says_whether_it_acts_in_training_always(self) -> None:
        made = [self.component().load()(**setting) for setting in self.settings_tested()]
        assert self.component().in_training == all(one.acts_in_training for one in made)

    def test_what_stays_keeps_its_value(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        built = trained(configuration, catalog, registry)
        plain = {name: w.matrix.dense().clone() for name, w in built.prunable.items()}
        finalize(built)
        for name, weight in built.prunable.items():
            served = weight.matrix.dense()
            assert torch.equal(served, torch.where(served == 0, 0.0, plain[name])), name

    def test_masks_are_between_0_and_1_and_only_on_the_weights_given(
        self, learned: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        built = build(learned, catalog, registry, seed=0)
        watch = Watch(built)
        cycles = (*built.cycles, watch)
        model = built.model
        assert isinstance(model, TrainedModel), "the host is trained"
        train(model, catalog, _unjudged, settings=built.training, seed=0, cycles=cycles)
        assert watch.steps


class Watch(LifeCycle):
    """Looks at every mask after every step.

    Attributes:
        steps: looked at.
    """

    def __init__(self, built: Built) -> None:
        self._built, self.steps = built, 0

    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`."""
        self.steps += 1
        masked = {n for n, weight in self._built.layers.weights.items() if _masks(weight)}
        acts = self._built.sparsity is not None and self._built.sparsity.acts_in_training
        assert masked <= (self._built.prunable.keys() if acts else set())
        for mask in (m for name in masked for m in _masks(self._built.layers.weights[name])):
            assert bool(((mask >= 0) & (mask <= 1)).all())


def _unjudged() -> tuple[float, float]:
    return 0.0, 0.0


def _masks(weight: Weight) -> list[Tensor]:
    matrices = [leaf for leaf in leaves(weight.matrix) if isinstance(leaf, TrainableMatrix)]
    return [matrix.mask for matrix in matrices if matrix.mask is not None]
