"""User neighbours: what those with a like history have met."""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, ClosedFormModel, Layers, Requests
from automl_rec_models.collaborative.distinct import distinct
from automl_rec_models.collaborative.nearest import nearest, owners_of
from automl_rec_models.collaborative.smallest import smallest


class UserKnn(ClosedFormModel):
    """Scores every item by the similarity of the nearest users who have met it.

    The similarity of known items K with the train items H of another user is
    ``|K and H| / (sqrt(|K| |H|) + shrinkage)``. It is computed when a list is asked for, so what a
    user met after training counts; what must be kept for it, everybody's train items, is part of
    the artefact and of its bytes.

    Source: Sarwar et al., EC 2000, for what was met and what was not, so that a mean of ratings
    becomes a sum of similarities; shrinkage in the denominator as in ``item-knn``.

    Args:
        catalog: the binary train matrix.
        _layers: not used.
        neighbours: users who may speak for a user; equals are taken by number.
        shrinkage: holds back what rests on few items.
    """

    indptr: Tensor
    items: Tensor

    def __init__(
        self, catalog: Catalog, _layers: Layers, *, neighbours: int, shrinkage: float
    ) -> None:
        super().__init__()
        self.neighbours, self.shrinkage = neighbours, shrinkage
        self.shape = catalog.num_users, catalog.num_items
        matrix = catalog.matrix
        self.register_buffer("indptr", smallest(matrix.indptr, matrix.nnz))
        self.register_buffer("items", smallest(matrix.indices, catalog.num_items - 1))
        overlaps = float(np.square(catalog.item_counts, dtype=np.float64).sum())
        read = float(matrix.nnz) * min(neighbours, catalog.num_users)
        self._operations = (overlaps + read) / max(catalog.num_users, 1)

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`; the histories are the model."""

    def prepare(self) -> None:
        """See `Model.prepare`."""
        places = self.items.numpy().astype(np.int32), self.indptr.numpy().astype(np.int32)
        ones = np.ones(len(self.items), np.float32)
        self._met = sp.csr_matrix((ones, *places), self.shape)
        # They may come from a damaged file, and scipy would follow them out of memory.
        self._met.check_format(full_check=True)
        self._met_by = self._met.T.tocsr()
        self._lengths = np.sqrt(np.diff(self._met.indptr))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        near = nearest(self._similarities(requests), self.neighbours)
        return torch.from_numpy((near @ self._met).toarray())

    def operations(self) -> float:
        """Multiply-adds to compare a user's items with everybody's, and to sum what is near."""
        return self._operations

    def _similarities(self, requests: Requests) -> sp.csr_matrix:
        """(B, U) float32 with all other users."""
        known = distinct(requests, self.shape[1])
        ones = np.ones(len(known.items), np.float32)
        shape = len(requests), self.shape[1]
        asked = sp.csr_matrix((ones, known.items.numpy(), known.indptr.numpy()), shape)
        rows = sp.csr_matrix(asked @ self._met_by)
        owners = owners_of(rows)
        lengths = np.sqrt(np.diff(asked.indptr))[owners] * self._lengths[rows.indices]
        rows.data = (rows.data / (lengths + self.shrinkage)).astype(np.float32)
        rows.data[rows.indices == requests.users.numpy()[owners]] = 0.0
        rows.eliminate_zeros()
        return rows
