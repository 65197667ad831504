"""Models: what scores items for users, or judges single events."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin.batch import Batch, Requests, Rows, Sampling
from automl_rec.plugin.catalog import Catalog


class Model(nn.Module, ABC):
    """What a configuration trains.

    A subclass is constructed as ``(catalog, layers, **hyperparameters)`` with exactly the
    hyperparameters its component declares, asks ``layers`` for every table and weight, and is a
    `ClosedFormModel`, a `GradientModel` or a `RankingModel`. It may be constructed on the meta
    device, where nothing has values: only shapes may be used in the constructor.

    Attributes:
        nests: whether its first columns are a model of its own: where every linear weight maps the
            tables' width to itself and is block lower triangular, the first columns of its tables,
            weights and biases score as the whole does with 0 in the tables' other columns. It
            holds where nothing else mixes columns, as normalised states and attention heads do.
    """

    nests: ClassVar[bool] = False

    def prepare(self) -> None:
        """Computes once what scoring reads often; called whenever weights have changed.

        It runs without gradient, before scoring begins. What it stores must be no persistent
        buffer.
        """

    def finish(self) -> None:
        """Turns trained weights into those to be served, before compression acts on them."""

    def operations(self) -> float:
        """Multiply-adds to score one user, or one row, beside those of the weights (attention)."""
        return 0.0


class RetrievalModel(Model):
    """A recommender over the items of a catalog."""

    @abstractmethod
    def scores(self, requests: Requests) -> Tensor:
        """How well every item suits every request: (B, I) float32, larger is better.

        Items the user knows are excluded by the caller, not here.
        """

    def shortlist(self, k: int) -> int:
        """How many of the best items `choose` wants to see for a list of k; at least k."""
        return k

    def choose(self, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """The list shown, from the best items by score.

        Args:
            items: (B, C) int64 unknown items, best first, `PADDING` where no more were left.
            scores: (B, C) float32, theirs, descending.
            k: list length, at most C.

        Returns:
            (B, k) int64 of ``items``, in the order shown. By default the first k.
        """
        return items[:, :k]


class TrainedModel(Model):
    """A model that learns by gradient.

    Attributes:
        sampling: the batches it learns from; set in the constructor.
        betas: Adam's decay rates.
    """

    sampling: Sampling
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """Computes from the train part what training starts from; called once, before it."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of one batch: a scalar, regularisation included."""


class ClosedFormModel(RetrievalModel):
    """A model that is solved, not trained by gradient."""

    @abstractmethod
    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """Computes the weights from the train part and assigns them.

        Raises:
            Infeasible: the data are too large for the method.
        """


class GradientModel(RetrievalModel, TrainedModel):
    """A recommender with a loss."""


class RankingModel(TrainedModel):
    """A model that judges single events: how likely a row's label is 1."""

    sampling = Sampling("rows")

    @abstractmethod
    def logits(self, rows: Rows) -> Tensor:
        """The log-odds that each row's label is 1: (B,) float32."""

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`; the mean binary cross-entropy, without regularisation."""
        assert isinstance(batch, Rows)
        assert batch.labels is not None, "rows are trained on with their labels"
        return F.binary_cross_entropy_with_logits(self.logits(batch), batch.labels)
