"""What every configuration must fulfil, from its price to its artefact."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from automl_rec.builder import Built, build, finalize, restore
from automl_rec.data.row_batches import rows_of
from automl_rec.export import read_model, write_model
from automl_rec.plugin import (
    COMPRESSIONS,
    Catalog,
    ClosedFormModel,
    Component,
    Interval,
    Kind,
    RankingModel,
    Requests,
    Rows,
    TrainedModel,
    Value,
)
from automl_rec.price import Price, price, training_bytes
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.planted import planted_rows, planted_tiny
from automl_rec.testing.settings import settings_of
from automl_rec.training.trainer import train

TRAINING: Mapping[str, Value] = {"epochs": 2, "batch_size": 256}
ROWS = 600


def configuration_of(
    registry: Registry,
    model: str,
    settings: Mapping[str, Value] | None = None,
    compressions: Mapping[Kind, Chosen] | None = None,
) -> Configuration:
    """A model with some compressions, the neutral ones in place of the others.

    Args:
        registry: the installed components.
        model: name of the model.
        settings: its hyperparameters; None for the defaults.
        compressions: kind -> component chosen.
    """
    component = registry.component("model", model)
    values = settings_of(component) if settings is None else dict(settings)
    training = {name: domain.default for name, domain in component.training.items()}
    training |= {name: value for name, value in TRAINING.items() if name in training}
    parts = {kind: _neutral(registry, kind) for kind in COMPRESSIONS} | dict(compressions or {})
    acting = {kind: part for kind, part in parts.items() if kind in component.compressible}
    return Configuration(
        Chosen(model, values | training),
        acting.get("embedding"),
        acting.get("rank"),
        acting.get("sparsity"),
    )


def trained(
    configuration: Configuration, catalog: Catalog, registry: Registry, *, seed: int = 0
) -> Built:
    """The configuration built, and trained or fitted; the state after the last epoch is kept."""
    built = build(configuration, catalog, registry, seed=seed)
    learn(built, catalog, seed=seed)
    return built


def learn(built: Built, catalog: Catalog, *, seed: int = 0) -> None:
    """Trains or fits what is built, without a look at quality."""
    if isinstance(built.model, ClosedFormModel):
        built.model.fit(catalog, torch.Generator().manual_seed(seed))
        return
    assert isinstance(built.model, TrainedModel), "a model is trained or solved"
    better = itertools.count()
    train(
        built.model,
        catalog,
        lambda: (float(next(better)), 0.0),
        settings=built.training,
        seed=seed,
        cycles=built.cycles,
    )


def catalog_for(component: Component) -> Catalog:
    """The train part of small planted data of a model's task."""
    if "ranking" in component.tasks:
        return planted_rows(rows=ROWS)[0]
    return planted_tiny().catalog


def all_requests(catalog: Catalog) -> Requests:
    """One request a user, with what he met in train."""
    return Requests.of(catalog.histories, np.arange(catalog.num_users))


def all_rows(catalog: Catalog) -> Rows:
    """The train rows with their labels."""
    assert catalog.rows is not None, "the task ranking has rows"
    return rows_of(catalog.rows, 0, len(catalog.rows))


def answers(served: Served, catalog: Catalog) -> Tensor:
    """What is served, asked for all that was planted: scores (U, I), or log-odds (R,)."""
    if isinstance(served.model, RankingModel):
        return served.logits(all_rows(catalog))
    return served.scores(all_requests(catalog))


def check_artefact(built: Built, catalog: Catalog, registry: Registry, folder: Path) -> Served:
    """Checks that what is served costs what was priced and comes back bit for bit from a file.

    Returns:
        The model served.
    """
    configuration = built.configuration
    priced = price(configuration, catalog, registry)
    held = training_bytes(built)
    assert held <= priced.bytes_training.high, f"training held {held}, {priced.bytes_training}"
    served = finalize(built)
    check_price(priced, served)
    path = folder / "model.safetensors"
    written = write_model(path, served, configuration)
    assert written == served.bytes, "the file must hold the tensors served"
    stored = read_model(path)
    loaded = restore(configuration, catalog, registry, stored.structure, stored.tensors)
    assert same(served.tensors(), loaded.tensors()), "tensors must survive export"
    assert torch.equal(answers(served, catalog), answers(loaded, catalog)), (
        "the loaded model must answer bit for bit like the one exported"
    )
    return served


def check_price(priced: Price, served: Served) -> None:
    """Checks that what is served lies in the bounds that were stated before training."""
    dense = served.bytes - served.bytes_tables
    assert _inside(served.bytes, priced.bytes), f"{served.bytes} bytes, priced {priced.bytes}"
    assert _inside(served.bytes_tables, priced.bytes_tables), (
        f"{served.bytes_tables} bytes of tables, priced {priced.bytes_tables}"
    )
    assert _inside(dense, priced.bytes_dense), f"{dense} other bytes, priced {priced.bytes_dense}"
    packed = served.bytes_packed
    assert _inside(packed, priced.bytes_packed), f"{packed} packed, priced {priced.bytes_packed}"
    assert packed <= served.bytes, f"{packed} packed bytes of {served.bytes}"
    operations = served.operations
    assert _inside(operations.low, priced.operations), (
        f"{operations} operations, priced {priced.operations}"
    )
    assert _inside(operations.high, priced.operations), (
        f"{operations} operations, priced {priced.operations}"
    )


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether both hold the same tensors, bit for bit."""
    return first.keys() == second.keys() and all(
        tensor.dtype == second[name].dtype and torch.equal(tensor, second[name])
        for name, tensor in first.items()
    )


def _inside(value: float, bounds: Interval) -> bool:
    tolerance = 1e-9 * abs(value)
    return bounds.low - tolerance <= value <= bounds.high + tolerance


def _neutral(registry: Registry, kind: Kind) -> Chosen:
    component: Component | None = registry.neutral(kind)
    assert component is not None, f"no neutral {kind} is installed"
    return Chosen(component.name, settings_of(component))
