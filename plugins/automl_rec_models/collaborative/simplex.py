"""SimpleX: a user's own row mixed with what he has met, trained by cosines."""

from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import (
    Batch,
    Catalog,
    GradientModel,
    Layers,
    Pairs,
    Requests,
)
from automl_rec_models.collaborative.bags import Bags
from automl_rec_models.collaborative.reading import Reading, products, read
from automl_rec_models.contrastive import contrastive
from automl_rec_models.dropout import dropout as dropped
from automl_rec_models.losses import cosine_contrastive
from automl_rec_models.sampling import Draw, Sampler, pair_sampling

EPSILON = 1e-12


class SimpleX(GradientModel):
    """s(u, i) = cos(z_u, q_i) of z_u = g p_u + (1 - g) V h_u, h_u aggregated from met items.

    Three aggregations of the rows q_k of the last ``length`` items: their mean; their mean by the
    softmax of ``tanh(W q_k + b) . p_u``; or the same with one learned vector in place of p_u. A
    user without items has h_u = 0.

    Source: Mao et al., CIKM 2021, equations 1 to 6.
    Ours lets a batch share its negatives, leaves padding out of the softmax and the positive out of
    the history, penalises the rows of a batch, and has no biases of users.

    Args:
        catalog: sizes and lengths of histories.
        layers: where the tables and the linear layers come from.
        width: columns D of both tables.
        history: ``"mean"``, ``"user-attention"`` or ``"self-attention"``.
        own_share: g; at 1, histories are not read.
        length: items of a history that are read, the last.
        negative_weight: of the mean over negatives.
        margin: the cosine up to which a negative costs nothing.
        dropout: share of the entries of the normalised z_u that a step leaves out.
        regularization: weighs half the mean squared lengths of users, items and negatives.
        sampler: how negatives are drawn.
        negatives: drawn for each positive, for samplers but ``"shared-uniform"``.
        shared_negatives: drawn for each batch, for the sampler ``"shared-uniform"``.
        draw: how positives are drawn.
        target_in_history: whether training leaves the positive item in the user's history.
        start: standard deviation of the rows at the start.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        history: Literal["mean", "user-attention", "self-attention"],
        own_share: float,
        length: int,
        negative_weight: float,
        margin: float,
        dropout: float,
        regularization: float,
        sampler: Sampler = "shared-uniform",
        negatives: int = 0,
        shared_negatives: int = 0,
        draw: Draw = "edge",
        target_in_history: bool = False,
        start: float = 1e-4,
    ) -> None:
        super().__init__()
        lengths = catalog.histories.lengths.clip(max=length)
        self.known = float(lengths.mean()) if own_share < 1 else 0.0
        self.user = layers.table("user", width, std=start)
        self.item = layers.table("item", width, std=start, lookups=self.known, scored=True)
        self.sampling = pair_sampling(negatives + shared_negatives, sampler, draw=draw)
        self.own_share, self.length, self.target_in_history = own_share, length, target_in_history
        self.negative_weight, self.margin = negative_weight, margin
        self.dropout, self.regularization = dropout, regularization
        self.value = self.key = self.query = None
        if own_share < 1:
            self.value = layers.linear("value", width, width, bias=False)
            if history != "mean":
                self.key = layers.linear("key", width, width, products=self.known)
            if history == "self-attention":
                std = (2 / (width + 1)) ** 0.5
                query = torch.empty(width).normal_(0.0, std, generator=layers.generator)
                self.query = nn.Parameter(query)
        self._scale: Tensor | None = None

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `TrainedModel.begin`."""
        self._indptr = torch.from_numpy(catalog.histories.indptr.astype(np.int64))
        self._items = torch.from_numpy(catalog.histories.items.astype(np.int64))

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`; the mean over positives."""
        assert isinstance(batch, Pairs)
        history = self._trained_history(batch)
        reading = read(self.item, history.items, batch.items, batch.negatives)
        own, items = self.user.lookup(batch.users), reading.of(batch.items)
        users = F.normalize(self._mixed(own, reading, history), dim=1)
        if self.training:
            users = dropped(users, self.dropout)
        loss = self._contrast(users, F.normalize(items, dim=1), batch.negatives, reading)
        lengths = own.square().sum(1).mean()
        lengths = lengths + reading.mean_square(batch.items) + reading.mean_square(batch.negatives)
        return loss + self.regularization / 2 * lengths

    def prepare(self) -> None:
        """See `Model.prepare`."""
        lengths = torch.linalg.vector_norm(self.item.rows(), dim=1)
        self._scale = 1 / lengths.clamp(min=EPSILON)

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`; cosines."""
        assert self._scale is not None, "a model is prepared before it scores"
        rows = torch.arange(len(requests))
        history = _last(requests.indptr, requests.items, rows, self.length)
        own, reading = self.user.lookup(requests.users), read(self.item, history.items)
        users = F.normalize(self._mixed(own, reading, history), dim=1)
        return self.item.score(users) * self._scale

    def operations(self) -> float:
        """Multiply-adds of the aggregation and of the items' lengths."""
        per_item = 1 if self.key is None else 2
        return self.item.num_rows + per_item * self.known * self.item.width

    def _contrast(
        self, users: Tensor, items: Tensor, negatives: Tensor, reading: Reading
    ) -> Tensor:
        """The loss of users and positives (B, D), both of length 1, and negative ids."""
        how = {"weight": self.negative_weight, "margin": self.margin}
        if negatives.ndim == 1:
            return contrastive(users, items, F.normalize(reading.of(negatives), dim=1), **how)
        unit = Reading(F.normalize(reading.rows, dim=1), reading.places)
        cosines = products(users, unit, negatives)
        return cosine_contrastive((users * items).sum(1), cosines, **how)

    def _trained_history(self, batch: Pairs) -> "_History":
        if self.value is None:
            nothing = torch.empty(0, dtype=torch.int64)
            return _History(nothing, nothing, len(batch.users))
        history = _last(self._indptr, self._items, batch.users, self.length)
        if self.target_in_history:
            return history
        others = history.items != batch.items[history.owners]
        return _History(history.owners[others], history.items[others], history.num_owners)

    def _mixed(self, own: Tensor, reading: Reading, history: "_History") -> Tensor:
        """The vectors z (B, D) of users with own rows (B, D) and histories."""
        if self.value is None:
            return own
        places = reading.places[history.items]
        bags = Bags(history.owners, places, history.num_owners, len(reading.rows))
        met = bags.sums(reading.rows, self._shares(own, reading.rows, bags))
        mixed: Tensor = self.own_share * own + (1 - self.own_share) * self.value(met)
        return mixed

    def _shares(self, own: Tensor, rows: Tensor, bags: Bags) -> Tensor:
        """What every entry of a bag weighs in it: (E,), each bag's sum is 1."""
        if self.key is None:
            return (1 / bags.lengths)[bags.owners]
        keys = torch.tanh(self.key(rows))
        if self.query is None:
            return bags.softmax(bags.products(keys, own))
        return bags.softmax((keys @ self.query)[bags.members])


class _History(NamedTuple):
    """Met items of B users.

    Attributes:
        owners: (E,) int64 ascending, which of the users met an item.
        items: (E,) int64 item numbers.
        num_owners: B.
    """

    owners: Tensor
    items: Tensor
    num_owners: int


def _last(indptr: Tensor, items: Tensor, rows: Tensor, length: int) -> _History:
    """The last items of some rows of (indptr, items), oldest first."""
    ends = indptr[rows + 1]
    counts = (ends - indptr[rows]).clamp(max=length)
    owners = torch.repeat_interleave(torch.arange(len(rows)), counts)
    shifts = (ends - counts.cumsum(0))[owners]  # from a place in the result to its source
    return _History(owners, items[torch.arange(len(owners)) + shifts], len(rows))
