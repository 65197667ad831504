"""A model in closed form, whose one weight is sparse."""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import PADDING, Catalog, ClosedFormModel, Layers, Requests


class FadingMemory(ClosedFormModel):
    """Scores of items by their likeness to a user's last events, the latest counting most.

    The score of item j is the sum over a user's last ``length`` items i, t events before the last,
    of ``fading ** t * cosine(i, j)``, where each item i keeps its ``neighbours`` largest cosines;
    of equal ones the first.

    Source: cosine of item columns, Sarwar et al., WWW 2001; the fading weight is Acme's own.
    """

    def __init__(
        self, catalog: Catalog, layers: Layers, *, fading: float, length: int, neighbours: int
    ) -> None:
        super().__init__()
        self.fading, self.length = fading, length
        self.neighbours = min(neighbours, catalog.num_items - 1)
        self.similar = layers.item_item("similar", limit=catalog.num_items * self.neighbours)

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """Keeps every item's largest cosines."""
        lengths = np.sqrt(np.maximum(catalog.item_counts, 1))
        cosines = catalog.co_occurrence / np.outer(lengths, lengths)
        np.fill_diagonal(cosines, 0.0)
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : self.neighbours]
        values = np.take_along_axis(cosines, nearest, axis=1).astype(np.float32)
        indptr = np.arange(len(cosines) + 1) * self.neighbours
        places = nearest.reshape(-1), indptr
        self.similar.assign(sp.csr_matrix((values.reshape(-1), *places), cosines.shape))

    def scores(self, requests: Requests) -> Tensor:
        """(B, I) float32."""
        scores = torch.zeros(len(requests), self.similar.columns)
        for items in requests.recent(self.length).unbind(1):  # (B,), the oldest first
            rows = self.similar.matrix.gather(items.clamp(min=0))
            scores = self.fading * scores + rows * (items != PADDING)[:, None]
        return scores
