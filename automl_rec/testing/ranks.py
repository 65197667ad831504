"""The contract of ranks."""

from typing import ClassVar

import torch

from automl_rec.builder import finalize
from automl_rec.plugin import Catalog, Kind
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from automl_rec.testing.contract import trained
from automl_rec.testing.life_cycles import LifeCycleTests


class RankTests(LifeCycleTests):
    """Tests every rank must pass; subclass it and set ``name``."""

    kind: ClassVar[Kind] = "rank"
    hosts: ClassVar[tuple[str, ...]] = ("host-factorization", "host-likeness", "host-fields")

    def test_the_description_says_whether_it_acts_in_training_always(self) -> None:
        made = [self.component().load()(**setting) for setting in self.settings_tested()]
        assert self.component().in_training == all(one.acts_in_training for one in made)

    def test_a_compressed_weight_is_nearer_than_nothing(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        built = trained(configuration, catalog, registry)
        plain = {name: w.matrix.dense().clone() for name, w in built.low_rank.items()}
        finalize(built)
        for name, weight in built.low_rank.items():
            error = (weight.matrix.dense() - plain[name]).norm()
            assert error <= plain[name].norm() * (1 + 1e-5), name

    def test_an_item_never_recommends_itself(
        self, catalog: Catalog, registry: Registry, configuration: Configuration
    ) -> None:
        built = trained(configuration, catalog, registry)
        finalize(built)
        for weight in built.low_rank.values():
            if weight.zero_diagonal:
                assert not weight.matrix.dense().diagonal().any(), weight.name
                assert not weight.matrix.gather(torch.arange(weight.rows)).diagonal().any()

    def test_weights_that_are_not_given_stay_as_they_are(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        built = trained(configuration, catalog, registry)
        others = {n: w for n, w in built.layers.weights.items() if n not in built.low_rank}
        before = {name: weight.matrix.dense().clone() for name, weight in others.items()}
        finalize(built)
        for name, weight in others.items():
            assert torch.equal(weight.matrix.dense(), before[name]), name
