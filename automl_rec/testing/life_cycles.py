"""The contract of what a compression does while a model trains, and when it is finished."""

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from automl_rec.builder import Built, build, finalize, restore
from automl_rec.plugin import Catalog, Table, TrainedModel, Weight
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from automl_rec.testing.contract import answers, catalog_for, same, trained
from automl_rec.testing.suite import CompressionSuite
from automl_rec.training.checkpoint import state_of
from automl_rec.training.resumption import TrainingFile
from automl_rec.training.trainer import train


class LifeCycleTests(CompressionSuite):
    """Tests of phases, hooks and `Table.settle`, on whole models."""

    def test_what_settles_on_the_meta_device_has_the_same_tensors(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        with torch.device("meta"):
            planned = build(configuration, catalog, registry, seed=0)
            _settle(planned)
        real = build(configuration, catalog, registry, seed=0)
        with torch.no_grad():
            for weight in real.layers.weights.values():
                weight.freeze()
            _settle(real)
        assert _beside_weights(planned.model) == _beside_weights(real.model)
        assert _weights(planned.model) == _weights(real.model)

    def test_a_finished_table_holds_nothing_that_learns(
        self, learned: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(learned, catalog, registry))
        tables = [part for part in served.model.modules() if isinstance(part, Table)]
        assert tables
        assert [name for table in tables for name, _ in table.named_parameters()] == []

    def test_every_tensor_of_a_finished_table_is_read(self, registry: Registry) -> None:
        configuration = self.configurations()[0]  # rows of one slot read no slot: not in these
        catalog = catalog_for(registry.component("model", configuration.model.name))
        served = finalize(trained(configuration, catalog, registry))
        before, tensors = answers(served, catalog), served.tensors()
        for name in _of_tables(served.model):
            if tensors[name].count_nonzero():
                emptied = {**tensors, name: torch.zeros_like(tensors[name])}
                parts = (configuration, catalog, registry, served.structure(), emptied)
                assert not torch.equal(answers(restore(*parts), catalog), before), (
                    f"{name} is stored, but all answers are the same without it"
                )

    def test_a_training_stopped_in_every_epoch_ends_as_if_it_had_not(
        self, learned: Configuration, catalog: Catalog, registry: Registry, tmp_path: Path
    ) -> None:
        whole = build(learned, catalog, registry, seed=3)
        epochs = _train(whole, catalog, None, itertools.count(), 10**9)
        file, quality = TrainingFile(tmp_path / "training", "one"), itertools.count()
        for _ in range(epochs):
            stopped = build(learned, catalog, registry, seed=3)
            _train(stopped, catalog, file, quality, 1)
        assert same(state_of(whole.model), state_of(stopped.model))

    def test_a_kept_training_gives_the_same_finished_model(
        self, learned: Configuration, catalog: Catalog, registry: Registry, tmp_path: Path
    ) -> None:
        first, second = (build(learned, catalog, registry, seed=3) for _ in range(2))
        file = TrainingFile(tmp_path / "training", "one", keep=True)
        _train(first, catalog, file, itertools.count(), 10**9)
        assert _train(second, catalog, file, itertools.count(), 0) == 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            whole = finalize(first).tensors()
            torch.manual_seed(0)
            assert same(finalize(second).tensors(), whole)


class _StoppedError(Exception):
    """Stands for whatever ends a process."""


def _train(
    built: Built,
    catalog: Catalog,
    file: TrainingFile | None,
    quality: "itertools.count[int]",
    until: int,
) -> int:
    """Trains from the file on, stopped where it would validate once more than ``until``.

    Returns:
        Validations, in all phases.
    """
    assert isinstance(built.model, TrainedModel), "the host is trained"
    validations = 0

    def validate() -> tuple[float, float]:
        nonlocal validations
        if validations == until:
            raise _StoppedError
        validations += 1
        return float(next(quality)), 0.0

    try:
        train(
            built.model,
            catalog,
            validate,
            settings=built.training,
            seed=3,
            cycles=built.cycles,
            file=file,
        )
    except _StoppedError:
        assert file is not None, "only what is kept in a file is stopped"
    return validations


def _settle(built: Built) -> None:
    for table in built.layers.tables.values():
        table.settle()


def _beside_weights(model: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shape and type of every tensor that an artefact would hold beside weights, by name."""
    held = tuple(f"{name}.matrix." for name in _weights(model))
    state: dict[str, Tensor] = model.state_dict()
    return {n: (t.shape, t.dtype) for n, t in state.items() if not n.startswith(held)}


def _weights(model: nn.Module) -> set[str]:
    return {name for name, part in model.named_modules() if isinstance(part, Weight)}


def _of_tables(model: nn.Module) -> list[str]:
    """The tensors of a model's tables, by name in the model; of weights, the values alone."""
    tables = [(name, part) for name, part in model.named_modules() if isinstance(part, Table)]
    names = [f"{name}.{tensor}" for name, table in tables for tensor in table.state_dict()]
    return [name for name in names if ".matrix." not in name or name.endswith(".values")]
