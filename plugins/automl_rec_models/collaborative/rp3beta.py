"""Walks of three steps over who met what, with a penalty on popular ends."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, ClosedFormModel, Layers, Requests
from automl_rec_models.collaborative.distinct import distinct
from automl_rec_models.collaborative.nearest import chunks, nearest, owners_of


class Rp3Beta(ClosedFormModel):
    """Scores item j by the walks item i - user - item j from every known item i.

    With n the number of items of a user or users of an item, a walk over user u weighs
    ``(n_i n_u) ** -alpha * n_j ** -beta``; an item gains from its nearest items alone.

    Source: Paudel et al., ACM TiiS 2016 (RP3beta), with the probabilities to the power alpha of
    P3alpha (Cooper et al., WWW 2014), as an item-item model (Ferrari Dacrema et al., RecSys 2019).
    Ours counts all known items of a user equally and gives items nothing of their own.

    Args:
        catalog: sizes and the binary train matrix.
        layers: where the sparse item-item weight comes from.
        alpha: exponent of the probabilities of a step.
        beta: exponent of the popularity of an item gaining.
        neighbours: items an item may gain from; equals are taken by number.
        normalise: whether what an item gives to others sums to 1.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        alpha: float,
        beta: float,
        neighbours: int,
        normalise: bool,
    ) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta
        self.neighbours, self.normalise = neighbours, normalise
        items = catalog.num_items
        self.item_item = layers.item_item("item_item", limit=items * min(neighbours, items - 1))

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        kept = [nearest(rows, self.neighbours) for rows in self._walks(catalog)]
        given = sp.csr_matrix(sp.vstack(kept).T)
        if self.normalise:
            sums = np.asarray(given.sum(1)).reshape(-1)
            given.data /= sums[owners_of(given)]
        self.item_item.assign(given)

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        known = distinct(requests, self.item_item.rows)
        return self.item_item.matrix.bag(known.indptr, known.items)

    def _walks(self, catalog: Catalog) -> Iterator[sp.csr_matrix]:
        """What successive items gain from all others: (C, I) each."""
        columns = catalog.matrix.T.tocsr()
        users = catalog.matrix.astype(np.float64)
        users.data *= np.repeat(_power(catalog.user_counts, -self.alpha), catalog.user_counts)
        gives, gains = (
            _power(catalog.item_counts, exponent) for exponent in (-self.alpha, -self.beta)
        )
        for start, stop in chunks(columns, users):
            rows = columns[start:stop] @ users
            own = start + owners_of(rows)
            rows.data *= gains[own] * gives[rows.indices]
            rows.data[own == rows.indices] = 0.0
            rows.eliminate_zeros()
            yield rows


def _power(counts: npt.NDArray[np.int64], exponent: float) -> npt.NDArray[np.float64]:
    """Counts to a power, 0 where there is none."""
    return np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** exponent, 0.0)
