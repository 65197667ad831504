"""Matrix factorisation with the pairwise loss of Bayesian personalised ranking."""

from typing import ClassVar

from torch import Tensor

from automl_rec.plugin import (
    Batch,
    Catalog,
    GradientModel,
    Layers,
    Pairs,
    Requests,
)
from automl_rec_models.collaborative.pairwise import penalised_bpr, rows_of
from automl_rec_models.sampling import Draw, Sampler, pair_sampling

START = 0.1
"""Standard deviation of the rows at the start."""


class BprMf(GradientModel):
    """s(u, i) = p_u . q_i, trained to put what a user met above what he has not.

    Source: Rendle et al., UAI 2009.
    Ours draws negatives outside the user's train items unless told otherwise, regularises the rows
    of each batch, and averages over the negatives of a positive.
    """

    nests: ClassVar[bool] = True

    def __init__(
        self,
        _catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        regularization: float,
        negatives: int,
        sampler: Sampler = "uniform-rejecting",
        exponent: float = 0.75,
        draw: Draw = "edge",
    ) -> None:
        super().__init__()
        self.user = layers.table("user", width, std=START)
        self.item = layers.table("item", width, std=START, lookups=0.0, scored=True)
        self.sampling = pair_sampling(negatives, sampler, exponent, draw)
        self._regularization = regularization

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`."""
        assert isinstance(batch, Pairs)
        return penalised_bpr(rows_of(batch, self.user, self.item), self._regularization)

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        return self.item.score(self.user.lookup(requests.users))
