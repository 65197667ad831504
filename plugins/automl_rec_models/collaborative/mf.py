"""Matrix factorisation with a choice of losses."""

from typing import ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import Batch, Catalog, GradientModel, Layers, Pairs, Requests
from automl_rec_models.contrastive import contrastive
from automl_rec_models.cosines import inverse_lengths, normalise
from automl_rec_models.inner_products import inner_products
from automl_rec_models.losses import (
    binary_cross_entropy,
    calibrated_beta,
    in_batch_softmax,
    sampled_softmax,
    warp,
    without_targets,
)
from automl_rec_models.sampling import Draw, Sampler, log_shares, pair_sampling
from automl_rec_models.softmax import cross_entropy

Loss: TypeAlias = Literal["ccl", "bce", "gbce", "sampled-softmax", "in-batch", "softmax", "warp"]

START = 0.1
"""Standard deviation of the rows at the start."""


class Mf(GradientModel):
    """s(u, i) = p_u . q_i, or the cosine of both for the loss ``"ccl"``.

    Source: Koren et al., IEEE Computer 2009 (the model); of the losses, see
    `automl_rec_models.losses`.
    Ours regularises the rows of each batch. Negatives of ``"sampled-softmax"`` and ``"warp"`` that
    are the positive itself count for nothing.

    Args:
        catalog: sizes and counts.
        layers: where the tables come from.
        width: columns of both tables.
        loss: ``"softmax"`` is over all items, the others are named as in
            `automl_rec_models.losses`.
        regularization: weighs half the mean squared lengths of users, items and negatives.
        draw: how positives are drawn.
        sampler: how negatives are drawn.
        negatives: drawn for each positive, for samplers but ``"shared-uniform"``.
        shared_negatives: drawn for each batch, for the sampler ``"shared-uniform"``.
        exponent: of the train counts, for the sampler ``"popularity"``.
        negative_weight: of the negatives, for ``"ccl"``.
        margin: the cosine up to which a negative costs nothing, for ``"ccl"``.
        start: standard deviation of the rows at the start; cosines turn the faster, the shorter
            rows are beside the learning rate.
        calibration: of ``"gbce"``; at 0 it is ``"bce"``.
    """

    nests: ClassVar[bool] = True

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        loss: Loss,
        regularization: float,
        draw: Draw = "edge",
        sampler: Sampler = "uniform",
        negatives: int = 0,
        shared_negatives: int = 0,
        exponent: float = 0.75,
        negative_weight: float = 0.0,
        margin: float = 0.0,
        start: float = START,
        calibration: float = 0.0,
    ) -> None:
        super().__init__()
        self.user = layers.table("user", width, std=start)
        self.item = layers.table("item", width, std=start, lookups=0.0, scored=True)
        drawn = negatives + shared_negatives
        self.sampling = pair_sampling(drawn, sampler, exponent, draw)
        self._loss, self._regularization = loss, regularization
        self._weight, self._margin = negative_weight, margin
        self._beta = calibrated_beta(max(drawn, 1), catalog.num_items, calibration)
        self._log_shares: Tensor | None = None
        self._inverse: Tensor | None = None

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `TrainedModel.begin`."""
        if self._loss == "in-batch":
            self._log_shares = log_shares(catalog, self.sampling.draw)

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`."""
        assert isinstance(batch, Pairs)
        users, items, negatives = self._rows(batch)
        lengths = sum(_half_mean_square(rows) for rows in (users, items, negatives))
        return self._data_loss(batch, users, items, negatives) + self._regularization * lengths

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        users = self.user.lookup(requests.users)
        if self._loss != "ccl":
            return self.item.score(users)
        products = self.item.score(F.normalize(users, dim=1))
        return products if self._inverse is None else products * self._inverse

    def prepare(self) -> None:
        """See `Model.prepare`."""
        self._inverse = inverse_lengths(self.item) if self._loss == "ccl" else None

    def finish(self) -> None:
        """See `Model.finish`."""
        if self._loss == "ccl":
            normalise(self.user)
            normalise(self.item)

    def operations(self) -> float:
        """Multiply-adds of the lengths of items, where their rows cannot have length 1."""
        beside = self._loss == "ccl" and not self.item.exact
        return float(self.item.num_rows) if beside else 0.0

    def _rows(self, batch: Pairs) -> tuple[Tensor, Tensor, Tensor]:
        """Those of users (B, D), items (B, D) and negatives (B, N, D) or (N, D)."""
        # One read of the item table, so one gradient of it.
        ids = torch.cat([batch.items, batch.negatives.reshape(-1)])
        items, negatives = self.item.lookup(ids).tensor_split([len(batch.items)])
        return (
            self.user.lookup(batch.users),
            items,
            negatives.reshape(*batch.negatives.shape, items.shape[1]),
        )

    def _data_loss(self, batch: Pairs, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        if self._loss == "softmax":
            return cross_entropy(users, self.item.rows(), batch.items)
        if self._log_shares is not None:
            return in_batch_softmax(users @ items.T, batch.items, self._log_shares[batch.items])
        if self._loss == "ccl":
            rows = (F.normalize(part, dim=-1) for part in (users, items, negatives))
            return contrastive(*rows, weight=self._weight, margin=self._margin)
        positives, others = (users * items).sum(1), _products(users, negatives)
        return self._sampled_loss(batch, positives, others)

    def _sampled_loss(self, batch: Pairs, positives: Tensor, negatives: Tensor) -> Tensor:
        if self._loss in {"bce", "gbce"}:
            return binary_cross_entropy(positives, negatives, self._beta)
        others = without_targets(negatives, batch.negatives, batch.items)
        if self._loss == "warp":
            return warp(positives, others, self.item.num_rows)
        return sampled_softmax(positives, others)


def _products(users: Tensor, negatives: Tensor) -> Tensor:
    """(B, N) of users (B, D) with negatives (N, D) or (B, N, D)."""
    return users @ negatives.T if negatives.ndim == 2 else inner_products(users, negatives)


def _half_mean_square(rows: Tensor) -> Tensor:
    """Half the mean squared length of rows (..., D); 0 if there are none."""
    flat = rows.reshape(-1)
    return flat.dot(flat) * (rows.shape[-1] / (2 * max(1, len(flat))))
