"""A training that the tests of sparsities share."""

import itertools
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import (
    Batch,
    GradientModel,
    LifeCycle,
    Requests,
    Sampling,
    Sparsity,
    Step,
    TrainableMatrix,
    Use,
    Weight,
)
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.trainer import train

CATALOG = planted_tiny().catalog


class Regression(GradientModel):
    """A linear weight (8, 30) that shall become one with few entries, and another beside it.

    Attributes:
        weights: by name.
        truth: (8, 30), of which a tenth is not 0.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.sampling = Sampling()
        self.main = Weight("main", 8, 30, "linear", Use(1))
        self.other = Weight("other", 4, 8, "linear", Use(1))
        self.weights: Mapping[str, Weight] = {"main": self.main, "other": self.other}
        for weight in self.weights.values():
            weight.initialise(0.3, generator)
        support = torch.rand(8, 30, generator=generator) < 0.1
        self.truth = torch.where(support, torch.randn(8, 30, generator=generator).sign() * 2, 0.0)

    @property
    def matrices(self) -> list[TrainableMatrix]:
        """What trains."""
        found = [weight.matrix for weight in self.weights.values()]
        return [matrix for matrix in found if isinstance(matrix, TrainableMatrix)]

    @property
    def masks(self) -> list[Tensor]:
        """Of every weight."""
        return [m.mask for m in self.matrices if m.mask is not None]

    def loss(self, batch: Batch) -> Tensor:
        """Noisy targets of random inputs, drawn anew."""
        x = torch.randn(64, 30)
        error = self.main.matrix.multiply(x) - x @ self.truth.T
        inner = self.other.matrix.multiply(x[:, :8]) - x[:, :4]
        return error.square().mean() + inner.square().mean()

    def scores(self, requests: Requests) -> Tensor:
        return torch.zeros(len(requests), CATALOG.num_items)


class Seen(LifeCycle):
    """Calls a function after every step."""

    def __init__(self, look: Callable[[Step], None]) -> None:
        self.look = look

    def after_step(self, step: Step) -> None:
        with torch.no_grad():
            self.look(step)


@pytest.fixture
def train_with() -> Callable[..., Regression]:
    """Trains the regression with a sparsity, looked at after every step."""

    def trained(
        sparsity: Sparsity, look: Callable[[Regression, Step], None], *, epochs: int = 8
    ) -> Regression:
        model = Regression()
        sparsity.join(model.weights)
        better = itertools.count()  # the state after the last step is kept
        settings = {"learning_rate": 0.05, "batch_size": 16, "epochs": epochs, "patience": 99}
        train(
            model,
            CATALOG,
            lambda: (float(next(better)), 0.0),
            settings={**settings, "evaluate_every": 1},
            seed=1,
            cycles=(sparsity, Seen(lambda step: look(model, step))),
        )
        return model

    return trained
