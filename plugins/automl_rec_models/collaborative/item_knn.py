"""Item neighbours: what is met together is recommended together."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, ClosedFormModel, Layers, Requests
from automl_rec_models.collaborative.distinct import distinct
from automl_rec_models.collaborative.nearest import chunks, nearest, owners_of


class ItemKnn(ClosedFormModel):
    """Scores every item by its similarity to those of its nearest neighbours that are known.

    With w_i the column of item i in the weighted train matrix, the similarity of i and j is
    w_i·w_j / (|w_i| |w_j| + ``shrinkage``) for the weightings ``"cosine"`` and ``"tf-idf"``, and
    w_i·w_j for ``"bm25"``. An interaction of user u with item i weighs 1 for cosine,
    ln(1 + I / n_u) for tf-idf, where n_u counts the items of the user, and for bm25 that times
    (k1 + 1) / (1 + k1 (1 - b + b n_i / mean n)), where n_i counts the users of the item.

    Source: Sarwar et al., WWW 2001, and Deshpande, Karypis, TOIS 2004 (cosine); weightings of text
    retrieval as in the package implicit. Ours uses the smooth ln(1 + .), which is never negative.

    Args:
        catalog: sizes and the binary train matrix.
        layers: where the sparse item-item weight comes from.
        weighting: ``"cosine"``, ``"tf-idf"`` or ``"bm25"``.
        neighbours: items that may speak for an item; equals are taken by number.
        shrinkage: added to the product of lengths; acts on cosine and tf-idf.
        saturation: k1; acts on bm25.
        length_weight: b; acts on bm25.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        weighting: str,
        neighbours: int,
        shrinkage: float = 0.0,
        saturation: float = 1.2,
        length_weight: float = 0.75,
    ) -> None:
        super().__init__()
        self.weighting, self.neighbours, self.shrinkage = weighting, neighbours, shrinkage
        self.saturation, self.length_weight = saturation, length_weight
        items = catalog.num_items
        self.item_item = layers.item_item("item_item", limit=items * min(neighbours, items - 1))

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        columns = self._weighted(catalog).T.tocsr()  # (I, U)
        kept = [nearest(rows, self.neighbours) for rows in self._similarities(columns)]
        # An item's neighbours are kept in its row; what a known item gives stands in its column.
        self.item_item.assign(sp.csr_matrix(sp.vstack(kept).T))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        known = distinct(requests, self.item_item.rows)
        return self.item_item.matrix.bag(known.indptr, known.items)

    def _weighted(self, catalog: Catalog) -> sp.csr_matrix:
        """The weighted train matrix (U, I)."""
        matrix, users = catalog.matrix, catalog.user_counts
        if self.weighting == "cosine":
            return matrix
        by_user = np.log1p(catalog.num_items / np.maximum(users, 1))
        values = np.repeat(by_user, users) * self._item_weights(catalog)[matrix.indices]
        places = matrix.indices, matrix.indptr
        return sp.csr_matrix((values.astype(np.float32), *places), matrix.shape)

    def _item_weights(self, catalog: Catalog) -> npt.NDArray[np.float64]:
        """(I,) what a frequent item loses."""
        if self.weighting == "tf-idf":
            return np.ones(catalog.num_items)
        counts = catalog.item_counts
        length = 1 - self.length_weight + self.length_weight * counts / counts.mean()
        return np.asarray((self.saturation + 1) / (1 + self.saturation * length))

    def _similarities(self, columns: sp.csr_matrix) -> Iterator[sp.csr_matrix]:
        """Similarities of successive items to all others: (C, I) each."""
        lengths = np.sqrt(np.bincount(owners_of(columns), columns.data**2, columns.shape[0]))
        users = columns.T.tocsr()
        for start, stop in chunks(columns, users):
            rows = columns[start:stop] @ users
            own = owners_of(rows)
            values = rows.data.astype(np.float64)
            if self.weighting != "bm25":
                values /= lengths[start + own] * lengths[rows.indices] + self.shrinkage
            values[start + own == rows.indices] = 0.0
            rows.data = values.astype(np.float32)
            rows.eliminate_zeros()
            yield rows
