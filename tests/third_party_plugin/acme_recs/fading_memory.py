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
        columns = catalog.matrix @ sp.diags_array(1 / lengths)
        cosines = sp.csr_matrix(columns.T @ columns, dtype=np.float32)
        self.similar.assign(_largest_of_others(cosines, self.neighbours))

    def scores(self, requests: Requests) -> Tensor:
        """(B, I) float32."""
        scores = torch.zeros(len(requests), self.similar.columns)
        for items in requests.recent(self.length).unbind(1):  # (B,), the oldest first
            rows = self.similar.matrix.gather(items.clamp(min=0))
            scores = self.fading * scores + rows * (items != PADDING)[:, None]
        return scores


def _largest_of_others(matrix: sp.csr_matrix, number: int) -> sp.csr_matrix:
    """The largest entries of every row beside the diagonal; of equal ones the first."""
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    matrix.data[rows == matrix.indices] = 0.0
    order = np.lexsort((-matrix.data, rows))
    places = np.arange(matrix.nnz) - matrix.indptr[rows]
    matrix.data[order[places >= number]] = 0.0
    matrix.eliminate_zeros()
    return matrix
