"""Models: what scores items for users."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from automl_rec.plugin.batch import Pairs, Requests, Sampling, Sequences
from automl_rec.plugin.catalog import Catalog


class Model(nn.Module, ABC):
    """A recommender over the items of a catalog.

    A subclass is constructed as ``(catalog, layers, **hyperparameters)`` with exactly the
    hyperparameters its component declares, asks ``layers`` for every table and weight, and is
    either a `ClosedFormModel` or a `GradientModel`. It may be constructed on the meta device, where
    nothing has values: only shapes may be used in the constructor.
    """

    @abstractmethod
    def scores(self, requests: Requests) -> Tensor:
        """How well every item suits every request: (B, I) float32, larger is better.

        Items the user knows are excluded by the caller, not here.
        """

    def prepare(self) -> None:
        """Computes once what `scores` reads often; called whenever weights have changed.

        It runs without gradient, before scoring begins. What it stores must be no persistent
        buffer.
        """

    def finish(self) -> None:
        """Turns trained weights into those to be served, before compression acts on them."""

    def operations(self) -> float:
        """Multiply-adds to score one user beside those of the weights (attention, for example)."""
        return 0.0


class ClosedFormModel(Model):
    """A model that is solved, not trained by gradient."""

    @abstractmethod
    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """Computes the weights from the train part and assigns them.

        Raises:
            Infeasible: the data are too large for the method.
        """


class GradientModel(Model):
    """A model with a loss.

    Attributes:
        sampling: the batches it learns from; set in the constructor.
        betas: Adam's decay rates.
    """

    sampling: Sampling
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)

    @abstractmethod
    def loss(self, batch: Pairs | Sequences) -> Tensor:
        """The loss of one batch: a scalar, regularisation included."""
