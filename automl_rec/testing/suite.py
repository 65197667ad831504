"""What all suites share: the configurations a component is tested in, and their contract."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from automl_rec.builder import build, finalize
from automl_rec.errors import Infeasible
from automl_rec.plugin import Catalog, Component, Kind, TrainedModel, Value
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import (
    answers,
    catalog_for,
    check_artefact,
    configuration_of,
    learn,
    same,
    trained,
)
from automl_rec.testing.hosts import registry_with_hosts
from automl_rec.testing.settings import variants


class Suite:
    """The contract of every component; subclass the suite of its kind and set ``name``.

    Each test runs at the defaults and, one at a time, at every other choice a hyperparameter has;
    settings that no model can be built with are left out.

    Attributes:
        name: the component's name, as the registry knows it.
        settings: hyperparameters to test at, where others are wanted than these.
    """

    kind: ClassVar[Kind]
    name: ClassVar[str]
    settings: ClassVar[Sequence[Mapping[str, Value]] | None] = None

    @classmethod
    def component(cls) -> Component:
        """The description under test."""
        return _registry().component(cls.kind, cls.name)

    @classmethod
    def settings_tested(cls) -> Sequence[Mapping[str, Value]]:
        """The settings to test at."""
        ends = cls.kind != "model"
        return variants(cls.component(), ends=ends) if cls.settings is None else cls.settings

    @classmethod
    def configurations(cls) -> list[Configuration]:
        """Configurations with the component, infeasible ones included."""
        return [configuration_of(_registry(), cls.name, s) for s in cls.settings_tested()]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Gives tests the configurations and settings they ask for."""
        if "configuration" in metafunc.fixturenames:
            metafunc.parametrize("configuration", self._feasible_ones(), ids=self._label)
        if "learned" in metafunc.fixturenames:
            found = [c for c in self._feasible_ones() if _by_gradient(c)]
            metafunc.parametrize("learned", found, ids=self._label)
        if "setting" in metafunc.fixturenames:
            metafunc.parametrize("setting", self._possible_ones(), ids=str)

    @classmethod
    @cache
    def _feasible_ones(cls) -> list[Configuration]:
        return [configuration for configuration in cls.configurations() if _feasible(configuration)]

    @classmethod
    @cache
    def _possible_ones(cls) -> list[Mapping[str, Value]]:
        return [setting for setting in cls.settings_tested() if cls().possible(setting)]

    def possible(self, setting: Mapping[str, Value]) -> bool:
        """Whether the component can act at a setting at all, on what it is tested with."""
        return True

    def _label(self, configuration: Configuration) -> str:
        chosen = configuration.chosen(self.kind)
        assert chosen is not None, "the component under test is chosen"
        training = self.component().training
        values = [f"{n}={v}" for n, v in chosen.hyperparameters.items() if n not in training]
        return " ".join([configuration.model.name, *values])

    @pytest.fixture
    def registry(self) -> Registry:
        """The installed components and the hosts."""
        return _registry()

    @pytest.fixture
    def catalog(self, request: pytest.FixtureRequest) -> Catalog:
        """Small planted data of the task that the configuration's model solves."""
        asked = "learned" if "learned" in request.fixturenames else "configuration"
        return _catalog(request.getfixturevalue(asked))

    def test_the_defaults_can_be_built(self) -> None:
        assert any(_feasible(configuration) for configuration in self.configurations()[:1])

    def test_what_is_served_costs_its_price_and_comes_back_from_its_file(
        self, configuration: Configuration, catalog: Catalog, registry: Registry, tmp_path: Path
    ) -> None:
        built = trained(configuration, catalog, registry)
        check_artefact(built, catalog, registry, tmp_path)

    def test_the_same_seed_gives_the_same_artefact(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        first, second = (
            finalize(trained(configuration, catalog, registry, seed=4)).tensors() for _ in range(2)
        )
        assert same(first, second)

    def test_it_can_be_served_before_any_training(
        self, learned: Configuration, catalog: Catalog, registry: Registry, tmp_path: Path
    ) -> None:
        built = build(learned, catalog, registry, seed=0)
        served = check_artefact(built, catalog, registry, tmp_path)
        assert answers(served, catalog).isfinite().all()

    def test_training_continues_equally_from_its_state(
        self, learned: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        first = trained(learned, catalog, registry, seed=1)
        state = {name: tensor.clone() for name, tensor in first.model.state_dict().items()}
        second = build(learned, catalog, registry, seed=2)
        second.model.load_state_dict(state)
        for built in (first, second):
            learn(built, catalog, seed=5)
        assert same(first.model.state_dict(), second.model.state_dict())


class CompressionSuite(Suite):
    """The contract of embeddings, sparsities and ranks, tested on small models.

    Attributes:
        hosts: the models, by name.
        neutral: hyperparameters at which the component changes nothing, where there are such.
    """

    hosts: ClassVar[tuple[str, ...]]
    neutral: ClassVar[Mapping[str, Value] | None] = None

    @classmethod
    def configurations(cls) -> list[Configuration]:
        """Each host with each setting."""
        return [
            configuration_of(_registry(), host, compressions={cls.kind: Chosen(cls.name, setting)})
            for setting in cls.settings_tested()
            for host in cls.hosts
        ]

    def test_the_neutral_setting_changes_no_score(self, registry: Registry) -> None:
        if self.neutral is None:
            pytest.skip("the component has no neutral setting")
        chosen = Chosen(self.name, self.neutral)
        for host in self.hosts:
            plain = configuration_of(registry, host)
            changed = configuration_of(registry, host, compressions={self.kind: chosen})
            catalog = _catalog(plain)
            found = [
                answers(finalize(trained(configuration, catalog, registry)), catalog)
                for configuration in (plain, changed)
            ]
            assert torch.allclose(found[0], found[1], rtol=1e-5, atol=1e-5)


def _catalog(configuration: Configuration) -> Catalog:
    return catalog_for(_registry().component("model", configuration.model.name))


def _by_gradient(configuration: Configuration) -> bool:
    model = _registry().component("model", configuration.model.name).load()
    return issubclass(model, TrainedModel)


def _feasible(configuration: Configuration) -> bool:
    try:
        price(configuration, _catalog(configuration), _registry())
    except Infeasible:
        return False
    return True


@cache
def _registry() -> Registry:
    return registry_with_hosts()
