"""Rel-MF: matrix factorisation of relevance, where popular items are met more often than liked."""

from typing import ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import Batch, Catalog, GradientModel, Layers, Pairs, Requests, Sampling

Error: TypeAlias = Literal["mse", "bce"]


class RelMf(GradientModel):
    """sigmoid(p_u . q_i) is how relevant i is to u, learned as if all cells had been seen.

    An item's propensity, how likely a user sees it, is (n_i / max n) ** ``exponent``, n_i its train
    users, but at least ``clip``. With w one over it, d1 the error as relevant and d0 the error as
    irrelevant, a positive costs ``w d1 + (1 - w) d0`` and an unlabelled cell ``d0``; both kinds
    have equal shares in a step, whatever theirs in the data, so that the sigmoid is no
    probability: the order alone is meant.

    Source: Saito et al., WSDM 2020, equations 8 and 9 with clipping, and its public code, whose
    errors are squares. Ours offers cross-entropy, goes through all positives once an epoch, and
    penalises the rows of a batch instead of whole tables.

    Args:
        catalog: sizes and the binary train matrix.
        layers: where the tables come from.
        width: columns of both tables.
        error: ``"mse"``, (1 - r)^2 and r^2; or ``"bce"``, -log r and -log(1 - r).
        exponent: see above; at 0 all items would be seen alike.
        clip: see above.
        regularization: weighs half the mean squared lengths of users and items.
    """

    nests: ClassVar[bool] = True

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        error: Error,
        exponent: float,
        clip: float,
        regularization: float,
    ) -> None:
        super().__init__()
        users, items = ((2 / (n + width)) ** 0.5 for n in (catalog.num_users, catalog.num_items))
        self.user = layers.table("user", width, std=users)
        self.item = layers.table("item", width, std=items, lookups=0.0, scored=True)
        self.sampling = Sampling(negatives=0)
        self.error, self.exponent, self.clip = error, exponent, clip
        self.regularization = regularization

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `TrainedModel.begin`."""
        counts = torch.from_numpy(catalog.item_counts).float()
        propensities = (counts / counts.max().clamp(min=1)) ** self.exponent
        self._weights = propensities.clamp(min=self.clip).reciprocal()
        owners = torch.from_numpy(catalog.user_counts)
        owners = torch.arange(catalog.num_users).repeat_interleave(owners)
        self._cells = owners * catalog.num_items + torch.from_numpy(catalog.matrix.indices)

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`."""
        assert isinstance(batch, Pairs)
        free = self._unlabelled(len(batch.users))
        count, items = len(batch.users), self.item.num_rows
        users = self.user.lookup(torch.cat([batch.users, free // items]))
        rows = self.item.lookup(torch.cat([batch.items, free % items]))
        positives, others = (users * rows).sum(1).tensor_split([count])
        met = weighted_error(positives, self._weights[batch.items], self.error).mean()
        unmet = weighted_error(others, torch.zeros_like(others), self.error).sum()
        lengths = (users.square().sum() + rows.square().sum()) / (2 * len(users))
        return (met + unmet / max(len(free), 1)) / 2 + self.regularization * lengths

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`; log-odds."""
        return self.item.score(self.user.lookup(requests.users))

    def _unlabelled(self, count: int) -> Tensor:
        """Cells u * I + i, uniform over those that are not positive; some fewer than count.

        Draws from torch's global generator, which the training seeds.
        """
        drawn = torch.randint(self.user.num_rows * self.item.num_rows, (count,))
        found = torch.searchsorted(self._cells, drawn).clamp(max=len(self._cells) - 1)
        return drawn[self._cells[found] != drawn]


def weighted_error(scores: Tensor, weights: Tensor, error: Error) -> Tensor:
    """``w d1 + (1 - w) d0`` of scores (B,) with weights (B,), see `RelMf`: (B,)."""
    if error == "bce":
        return F.softplus(scores) - weights * scores
    relevance = scores.sigmoid()
    return relevance.square() + weights * (1 - 2 * relevance)
