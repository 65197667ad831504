"""The contract of sparsities."""

from typing import ClassVar

import torch
from torch import Tensor

from automl_rec.builder import build, finalize
from automl_rec.plugin import Catalog, Kind, TrainableMatrix, Weight
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from automl_rec.testing.contract import trained
from automl_rec.testing.suite import CompressionSuite

STEPS = 40


class SparsityTests(CompressionSuite):
    """Tests every sparsity must pass; subclass it and set ``name``."""

    kind: ClassVar[Kind] = "sparsity"
    hosts: ClassVar[tuple[str, ...]] = (
        "host-factorization",
        "host-likeness",
        "host-neighbours",
        "host-fields",
    )

    def test_what_stays_keeps_its_value(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        built = trained(configuration, catalog, registry)
        plain = {name: w.matrix.dense().clone() for name, w in built.prunable.items()}
        finalize(built)
        for name, weight in built.prunable.items():
            served = weight.matrix.dense()
            assert torch.equal(served, torch.where(served == 0, 0.0, plain[name])), name

    def test_masks_are_binary_and_only_on_the_weights_given(
        self, learned: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        built = build(learned, catalog, registry, seed=0)
        assert built.sparsity is not None
        if built.sparsity.masks_in_training:
            built.sparsity.begin(built.prunable, STEPS)
        for step in range(1, STEPS + 1):
            if built.sparsity.masks_in_training:
                built.sparsity.after_step(step)
            masks = {name: _mask(weight) for name, weight in built.layers.weights.items()}
            masked = {name for name, mask in masks.items() if mask is not None}
            allowed = built.prunable.keys() if built.sparsity.masks_in_training else set()
            assert masked <= allowed
            for mask in masks.values():
                assert mask is None or bool(((mask == 0) | (mask == 1)).all())


def _mask(weight: Weight) -> Tensor | None:
    return weight.matrix.mask if isinstance(weight.matrix, TrainableMatrix) else None
