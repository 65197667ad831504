"""Rows with every kind of field, and models on them whose biases hide nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from automl_rec.plugin import Catalog, Feature, Histories, Layers, Rows, RowTable

NO_HISTORIES = Histories(np.zeros(1, np.int64), np.empty(0, np.int32))
Make = Callable[..., Any]


def catalog_of(**fields: Feature) -> Catalog:
    labels = np.zeros(len(next(iter(fields.values())).values), np.float32)
    return Catalog(0, NO_HISTORIES, rows=RowTable(fields, labels))


def ids(cardinality: int) -> Feature:
    return Feature("categorical", np.zeros(4, np.int32), cardinality)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Four train rows: two categorical fields, one of 1.5 values a row, two numeric."""
    several = np.array([0, 1, 2, 3, 4, 1], np.int32)
    return catalog_of(
        user=ids(6),
        tags=Feature("multi", several, 5, np.array([0, 1, 3, 3, 6])),
        price=Feature("numeric", np.zeros(4, np.float32)),
        item=ids(7),
        age=Feature("numeric", np.zeros(4, np.float32)),
    )


@pytest.fixture(scope="session")
def plain() -> Catalog:
    """A catalog of three categorical fields."""
    return catalog_of(user=ids(6), item=ids(7), type=ids(3))


@pytest.fixture(scope="session")
def rows() -> Rows:
    """Five rows for either catalog."""
    return Rows(
        {
            "user": torch.tensor([0, 1, 2, 5, 3]),
            "item": torch.tensor([6, 5, 0, 2, 2]),
            "type": torch.tensor([0, 1, 2, 1, 0]),
            "tags": torch.tensor([[0, -1, -1], [1, 2, -1], [-1, -1, -1], [3, 4, 1], [2, -1, -1]]),
            "price": torch.tensor([0.5, -1.0, 0.0, 2.0, 0.1]),
            "age": torch.tensor([1.0, 0.0, -2.0, 0.3, 0.7]),
        },
        torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0]),
    )


@pytest.fixture(scope="session")
def make() -> Make:
    """A model in evaluation mode, with rows of length about 1 and biases other than 0."""

    def made(model: type[Any], catalog: Catalog, *, seed: int = 0, **hyperparameters: Any) -> Any:
        layers = Layers(catalog, torch.Generator().manual_seed(seed))
        values = {"regularization": 1e-6} | hyperparameters
        built = model(catalog, layers, **values)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for part in built.parameters():
                part.add_(0.4 * torch.randn(part.shape, generator=generator))
        return built.eval()

    return made
