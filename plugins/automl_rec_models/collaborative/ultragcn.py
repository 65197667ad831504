"""UltraGCN: matrix factorisation whose loss holds what a graph convolution would converge to."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.plugin import (
    Batch,
    Catalog,
    GradientModel,
    Layers,
    Pairs,
    Requests,
)
from automl_rec_models.collaborative.item_graph import Neighbours, strongest_neighbours
from automl_rec_models.collaborative.reading import Reading, products, read
from automl_rec_models.collaborative.softplus import product_softplus, weighted_softplus
from automl_rec_models.inner_products import inner_products
from automl_rec_models.sampling import Draw, Sampler, pair_sampling


class UltraGcn(GradientModel):
    """s(u, i) = p_u . q_i, trained with weights by degree and with the neighbours of items.

    With beta_ui = sqrt((d_u + 1) / (d_i + 1)) / d_u, the loss sums over the positives of a batch:
    (w1 + w2 beta_ui) softplus(-s_ui), plus ``negative_weight`` times the mean over negatives j of
    (w3 + w4 beta_uj) softplus(s_uj), plus ``neighbour_weight`` times the sum over the neighbours j
    of i of omega_ij softplus(-s_uj), plus the penalty. A user without items weighs nothing.

    Source: Mao et al., CIKM 2021, equations 9 to 15.
    Ours lets a batch share its negatives, penalises the rows of a batch alone unless asked, and can
    start where popularity alone would bring it, a state in which the published one stays for long.

    Args:
        catalog: sizes.
        layers: where both tables come from.
        width: columns D of both tables.
        negative_weight: of the mean over negatives.
        base_positive: w1.
        degree_positive: w2.
        base_negative: w3.
        degree_negative: w4.
        regularization: half of it times the squared lengths is the penalty.
        decay: ``"batch"`` penalises each positive's user, item and a mean negative, ``"all"`` the
            whole tables in every step, as published.
        neighbours: K of every item; 0 for none.
        neighbour_weight: of the sum over neighbours.
        own_neighbour: whether an item may be its own neighbour.
        sampler: how negatives are drawn.
        negatives: drawn for each positive, for samplers but ``"shared-uniform"``.
        shared_negatives: drawn for each batch, for the sampler ``"shared-uniform"``.
        draw: how positives are drawn.
        start: standard deviation of the rows at the start.
        popular_start: whether the first column of both tables starts as the scores that are best
            where all users are the same.
    """

    nests: ClassVar[bool] = True

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        negative_weight: float,
        base_positive: float,
        degree_positive: float,
        base_negative: float,
        degree_negative: float,
        regularization: float,
        decay: Literal["batch", "all"],
        neighbours: int,
        neighbour_weight: float = 0.0,
        own_neighbour: bool = True,
        sampler: Sampler = "shared-uniform",
        negatives: int = 0,
        shared_negatives: int = 0,
        draw: Draw = "edge",
        start: float = 1e-4,
        popular_start: bool = False,
    ) -> None:
        super().__init__()
        self.user = layers.table("user", width, std=start)
        self.item = layers.table("item", width, std=start, lookups=0.0, scored=True)
        self.sampling = pair_sampling(negatives + shared_negatives, sampler, draw=draw)
        self.negative_weight, self.neighbour_weight = negative_weight, neighbour_weight
        self.positive_weights = base_positive, degree_positive
        self.negative_weights = base_negative, degree_negative
        self.regularization, self.decay = regularization, decay
        self.popular_start = popular_start
        self.neighbours, self.own_neighbour = neighbours, own_neighbour

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `TrainedModel.begin`."""
        users, items = catalog.user_counts, catalog.item_counts
        of_users = np.divide(np.sqrt(users + 1), users, out=np.zeros(len(users)), where=users > 0)
        of_items = 1 / np.sqrt(items + 1)
        self._user_factors = torch.from_numpy(of_users.astype(np.float32))
        self._item_factors = torch.from_numpy(of_items.astype(np.float32))
        self._graph: Neighbours | None = None
        if self.popular_start:
            self._start_at(torch.from_numpy(self._log_odds(catalog)))
        if self.neighbours > 0:
            self._graph = strongest_neighbours(
                catalog.matrix, self.neighbours, itself=self.own_neighbour
            )

    def _log_odds(self, catalog: Catalog) -> npt.NDArray[np.float32]:
        """The scores of items at which the loss, the same for every user, is least: (I,)."""
        users, items = self._user_factors.numpy(), self._item_factors.numpy()
        (w1, w2), (w3, w4) = self.positive_weights, self.negative_weights
        met = w1 * catalog.item_counts + w2 * items * (catalog.matrix.T @ users)
        events, of_events = catalog.user_counts.sum(), catalog.user_counts @ users
        unmet = self.negative_weight / len(items) * (w3 * events + w4 * items * of_events)
        least = met.min(where=met > 0, initial=np.inf)  # as if an unmet item were met so
        return np.asarray(np.log(np.maximum(met, least) / unmet), np.float32)

    def _start_at(self, scores: Tensor) -> None:
        """Lets the first column of both tables make these scores (I,) for every user."""
        users, items = self.user.rows().clone(), self.item.rows().clone()
        size = scores.abs().mean().sqrt().clamp(min=1.0)
        users[:, 0], items[:, 0] = size, scores / size
        self.user.assign(users)
        self.item.assign(items)

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`; summed over the positives."""
        assert isinstance(batch, Pairs)
        near, weights = self._attracting(batch)  # (B, 1 + K)
        users = self.user.lookup(batch.users)
        reading = read(self.item, near, batch.negatives)
        attracting = weighted_softplus(-inner_products(users, reading.of(near)), weights)
        repelling = self._repelling(batch, users, reading)
        return attracting + repelling + self._penalty(batch, users, reading)

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        return self.item.score(self.user.lookup(requests.users))

    def _attracting(self, batch: Pairs) -> tuple[Tensor, Tensor]:
        """The positive and its neighbours with the weights of their terms: (B, 1 + K) both."""
        base, degree = self.positive_weights
        betas = self._user_factors[batch.users] * self._item_factors[batch.items]
        items, weights = batch.items[:, None], base + degree * betas[:, None]
        if self._graph is None:
            return items, weights
        near = self._graph.items[batch.items], self._graph.weights[batch.items]
        return (
            torch.cat([items, near[0]], 1),
            torch.cat([weights, self.neighbour_weight * near[1]], 1),
        )

    def _repelling(self, batch: Pairs, users: Tensor, reading: Reading) -> Tensor:
        """The terms of the negatives."""
        negatives, share = batch.negatives, self.negative_weight / batch.negatives.shape[-1]
        base, degree = (share * weight for weight in self.negative_weights)
        of_users, of_items = degree * self._user_factors[batch.users], self._item_factors[negatives]
        if negatives.ndim == 1:
            return product_softplus(users, reading.of(negatives), of_users, of_items, base)
        weights = base + of_users[:, None] * of_items
        return weighted_softplus(products(users, reading, negatives), weights)

    def _penalty(self, batch: Pairs, users: Tensor, reading: Reading) -> Tensor:
        if self.decay == "all":
            squares = self.user.rows().square().sum() + self.item.rows().square().sum()
        else:
            of_items = reading.mean_square(batch.items) + reading.mean_square(batch.negatives)
            squares = users.square().sum() + len(users) * of_items
        return self.regularization / 2 * squares
