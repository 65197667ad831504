"""Popularity: the reference every recommender must beat."""

import torch
from torch import Tensor

from automl_rec.plugin import Catalog, ClosedFormModel, Layers, Requests


class Popularity(ClosedFormModel):
    """Items by their number of different train users, the same for everybody.

    Source: none; see the component's description.
    """

    counts: Tensor

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(catalog.num_items))

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        self.counts.copy_(torch.from_numpy(catalog.item_counts))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        return self.counts.repeat(len(requests), 1)
