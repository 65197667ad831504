"""Two towers: users and items meet as vectors made of their features."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import (
    Batch,
    Catalog,
    GradientModel,
    Infeasible,
    Layers,
    Pairs,
    Requests,
    Sampling,
)
from automl_rec_models.featured.encoders import Encoder, encoders_of
from automl_rec_models.featured.masking import (
    membership,
    mutual_information,
    random_half,
    related_half,
)
from automl_rec_models.featured.tower import Tower
from automl_rec_models.losses import in_batch_softmax

FEATURES_NEEDED = {"none": 1, "rfm": 2, "cfm": 3}


class TwoTower(GradientModel):
    """s(u, i) = x_u . y_i / temperature, each vector of unit length and made by a tower.

    A tower joins the rows of its features, ids among them if wanted, and sends them through a
    perceptron. Items and users without a train event have no row of their own, so their features
    alone speak for them. Trained by the softmax over the items of a batch, each corrected for how
    often it comes into one.

    With masking, two views of items drawn uniformly hide complementary features, and each must
    recognise its other view among all: rfm hides a random half of the features, cfm one drawn at
    random with those of highest mutual information; value dropout thins features of several values.

    Source: Yi et al., RecSys 2019; Yao et al., CIKM 2021.
    Ours hides the same features for a whole batch, and shares the whole item tower between the
    two losses.
    """

    def __init__(
        self,
        catalog: Catalog,
        source: Layers,
        /,
        *,
        width: int,
        layers: int,
        hidden: int = 0,
        user_ids: bool,
        item_ids: bool,
        temperature: float,
        masking: Literal["none", "rfm", "cfm"],
        masking_weight: float = 0.0,
        masking_temperature: float = 1.0,
        value_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        users = encoders_of("user", catalog, source, width, ids=user_ids, reads=1.0)
        items = encoders_of("item", catalog, source, width, ids=item_ids, reads=0.0)
        _require_features("user", users, 1)
        _require_features("item", items, FEATURES_NEEDED[masking])
        widths = [hidden >> number for number in range(layers)]
        self.user = Tower("user", users, source, widths)
        self.item = Tower("item", items, source, widths)
        self._trained_users = torch.from_numpy(catalog.user_counts > 0)
        self._trained_items = torch.from_numpy(catalog.item_counts > 0)
        # Last, so that all else starts alike with masking and without.
        self.user.make_defaults("user", source, self._trained_users, masked=False)
        self.item.make_defaults("item", source, self._trained_items, masked=masking != "none")
        self.sampling = Sampling(negatives=0)
        self._num_items, self._width = catalog.num_items, width
        self._temperature, self._masking = temperature, masking
        self._weight, self._sharpness = masking_weight, masking_temperature
        self._value_dropout = value_dropout
        self._log_shares = self._information = torch.empty(0)
        self._vectors: Tensor | None = None

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `TrainedModel.begin`."""
        for tower, trained in ((self.user, self._trained_users), (self.item, self._trained_items)):
            for encoder in tower.features:
                encoder.adapt(trained)
        counts = torch.from_numpy(catalog.item_counts)
        self._log_shares = (counts / counts.sum()).log()
        if self._masking == "cfm":
            kept, encoders = self._trained_items.numpy(), self.item.features
            self._information = mutual_information(membership(e.feature, kept) for e in encoders)

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`."""
        assert isinstance(batch, Pairs)
        scores = self.user(batch.users) / self._temperature @ self.item(batch.items).T
        main = in_batch_softmax(scores, batch.items, self._log_shares[batch.items])
        if self._masking == "none":
            return main
        return main + self._weight * self.recognition(self._drawn(len(batch.items)))

    def recognition(self, items: Tensor) -> Tensor:
        """How badly two masked views of different items (B,) recognise each other: a scalar."""
        masked = self._masked()
        first = self.item(items, masked, self._value_dropout)
        second = self.item(items, ~masked, self._value_dropout)
        return F.cross_entropy(first / self._sharpness @ second.T, torch.arange(len(items)))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        assert self._vectors is not None, "prepare comes before scores"
        scores: Tensor = self.user(requests.users) @ self._vectors.T
        return scores

    def prepare(self) -> None:
        """See `Model.prepare`."""
        self._vectors = self.item(torch.arange(self._num_items))

    def operations(self) -> float:
        """Multiply-adds of a user's vector with those of all items."""
        return float(self._num_items * self._width)

    def _drawn(self, count: int) -> Tensor:
        """At most that many different items, drawn uniformly from all."""
        drawn: Tensor = torch.randint(self._num_items, (count,)).unique()
        return drawn

    def _masked(self) -> Tensor:
        """(k,) bool, the item features that the first view hides; the second hides the others."""
        if self._masking == "cfm":
            return related_half(self._information)
        return random_half(len(self.item.features))


def _require_features(role: str, found: list[Encoder], needed: int) -> None:
    if len(found) < needed:
        raise Infeasible(
            f"two-tower: {role}s must have at least {needed} features here, ids included, got "
            f"{len(found)}. Set {role}_ids, add data.{role}_features, or mask less."
        )
