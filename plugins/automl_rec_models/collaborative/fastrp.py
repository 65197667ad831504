"""FastRP: random projections of the powers of the user-item graph; nothing is trained."""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, ClosedFormModel, Layers, Requests

Rows = npt.NDArray[np.float32]
Sides = tuple[Rows, Rows]
"""Rows of users (U, D) and of items (I, D)."""


class FastRp(ClosedFormModel):
    """Scores u·i of rows sum_q weight_q M^q L R: what graph walks of 1 to 4 steps reach.

    A is the bipartite graph of users and items and D its degrees. M is D^-1 A for the walk
    ``"transition"`` and A for ``"adjacency"``; L is D^``degree_exponent``; R is random with
    variance 1 / width: normal for ``"gaussian"``, else 0 or ±sqrt(s / width) with probability
    1 / s of not being 0, where s is 3 for ``"sparse"`` and sqrt(U + I) for ``"very-sparse"``. Odd
    powers reach the other side, even ones the own, so users and items are comparable where both
    weigh. A user or item without interactions is 0.

    Source: Chen et al., CIKM 2019, equations 6-9. Ours keeps user and item rows apart, has its
    seed, and standardises columns only if asked to.

    Args:
        catalog: sizes and the binary train matrix.
        layers: where both tables come from.
        width: columns D of both tables.
        projection: ``"gaussian"``, ``"sparse"`` or ``"very-sparse"``.
        walk: ``"transition"`` or ``"adjacency"``.
        degree_exponent: alpha.
        weight_1: weight of the first power.
        weight_2: weight of the second power.
        weight_3: weight of the third power.
        weight_4: weight of the fourth power.
        normalise: whether the rows of each power are brought to length 1 before they are summed.
        standardise: whether columns are brought to mean 0 and variance 1 over all users and items.
        similarity: ``"cosine"`` brings the final rows to length 1, ``"dot"`` leaves them.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        projection: str,
        walk: str,
        degree_exponent: float,
        weight_1: float,
        weight_2: float,
        weight_3: float,
        weight_4: float,
        normalise: bool,
        standardise: bool,
        similarity: str,
    ) -> None:
        super().__init__()
        self.width, self.projection, self.walk = width, projection, walk
        self.degree_exponent, self.weights = (
            degree_exponent,
            (weight_1, weight_2, weight_3, weight_4),
        )
        self.normalise, self.standardise, self.similarity = normalise, standardise, similarity
        self.user = layers.table("user", width)
        self.item = layers.table("item", width, lookups=0.0, scored=True)

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        users, items = self._embed(catalog, self._start(catalog, generator))
        self.user.assign(torch.from_numpy(users))
        self.item.assign(torch.from_numpy(items))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        return self.item.score(self.user.lookup(requests.users))

    def _start(self, catalog: Catalog, generator: torch.Generator) -> Sides:
        """L R, the scaled random rows."""
        nodes = catalog.num_users + catalog.num_items
        scale = _powers(_degrees(catalog), self.degree_exponent)
        rows = scale[:, None] * _projection(self.projection, nodes, self.width, generator)
        return rows[: catalog.num_users], rows[catalog.num_users :]

    def _embed(self, catalog: Catalog, sides: Sides) -> Sides:
        to_items, to_users = self._steps(catalog)
        total = np.zeros((catalog.num_users + catalog.num_items, self.width), np.float32)
        for weight in self.weights:
            sides = to_users @ sides[1], to_items @ sides[0]
            rows = np.concatenate(sides)
            total += np.float32(weight) * (_unit(rows) if self.normalise else rows)
        if self.standardise:
            total = _standard(total, _degrees(catalog) > 0)
        if self.similarity == "cosine":
            total = _unit(total)
        return total[: catalog.num_users], total[catalog.num_users :]

    def _steps(self, catalog: Catalog) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """M from users to items (I, U), and from items to users (U, I)."""
        to_users = catalog.matrix
        to_items = to_users.T.tocsr()
        if self.walk == "adjacency":
            return to_items, to_users
        return _averaging(to_items), _averaging(to_users)


def _projection(kind: str, nodes: int, width: int, generator: torch.Generator) -> Rows:
    """Random rows (nodes, width) of mean 0 and variance 1 / width."""
    if kind == "gaussian":
        rows = torch.randn(nodes, width, generator=generator) / width**0.5
        return np.asarray(rows.numpy())
    sparseness = 3.0 if kind == "sparse" else nodes**0.5
    drawn = torch.rand(nodes, width, generator=generator)
    share = 0.5 / sparseness
    signs = (drawn < share).float() - (drawn >= 1.0 - share).float()
    return np.asarray((signs * (sparseness / width) ** 0.5).numpy())


def _degrees(catalog: Catalog) -> npt.NDArray[np.int64]:
    """(U + I,) degrees of users, then of items."""
    return np.concatenate([catalog.user_counts, catalog.item_counts])


def _powers(degrees: npt.NDArray[np.int64], exponent: float) -> Rows:
    """Degrees to a power, 0 where the degree is 0."""
    return np.where(degrees > 0, np.maximum(degrees, 1) ** exponent, 0.0).astype(np.float32)


def _averaging(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The binary matrix with rows that sum to 1, or to 0 where they are empty."""
    degrees = np.diff(matrix.indptr)
    values = np.repeat(_powers(degrees, -1.0), degrees)
    return sp.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape)


def _unit(rows: Rows) -> Rows:
    """Rows brought to length 1; those of length 0 stay."""
    lengths = np.sqrt(np.square(rows).sum(1, keepdims=True))
    units = np.zeros_like(rows)
    np.divide(rows, lengths, out=units, where=lengths > 0)
    return units


def _standard(rows: Rows, met: npt.NDArray[np.bool_]) -> Rows:
    """Columns brought to mean 0 and variance 1 over the rows ``met``; the others become 0."""
    known = rows[met]
    centred = known - known.mean(0)
    spread = centred.std(0)
    standard = np.zeros_like(rows)
    standard[met] = np.divide(centred, spread, out=np.zeros_like(known), where=spread > 0)
    return standard
