"""iALS: implicit matrix factorisation by alternating least squares."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, ClosedFormModel, Layers, Requests

Rows = npt.NDArray[np.int64]

START = 0.1
"""Standard deviation of the start rows, times the root of the width."""

GROWTH = 1.25
"""Longest row of a group against its shortest: how much padding it may need."""

GROUP_VALUES = 2**20
"""Float32 values a group may gather or solve for at once (4 MB, to stay in the cache)."""


class Ials(ClosedFormModel):
    """Scores u·i, where the rows u and i minimise the implicit least-squares objective.

    The objective is the sum of (u·i - 1)^2 over interactions, plus ``unobserved_weight`` times the
    sum of (u·i)^2 over all pairs, plus each row's penalty times its squared length. Penalties are
    proportional to mass^``frequency_exponent``, where the mass of a row is its number of
    interactions plus ``unobserved_weight`` times the size of the other side; their sum is
    ``regularization`` times the sum of masses whatever the exponent. Each half step solves all
    rows of one side exactly.

    Source: Hu, Koren, Volinsky, ICDM 2008, equations 4-5; weights of Rendle et al., RecSys 2022.
    Ours solves the smaller of two equal systems a row, and at last the users against the item
    table as it is stored.

    Args:
        catalog: sizes and the binary train matrix.
        layers: where both tables come from.
        width: columns D of both tables.
        regularization: lambda.
        unobserved_weight: alpha_0.
        frequency_exponent: nu.
        iterations: times both sides are solved.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        regularization: float,
        unobserved_weight: float,
        frequency_exponent: float,
        iterations: int,
    ) -> None:
        super().__init__()
        self.width, self.iterations = width, iterations
        self.regularization, self.frequency_exponent = regularization, frequency_exponent
        self.unobserved_weight = unobserved_weight
        self.user = layers.table("user", width)
        self.item = layers.table("item", width, lookups=0.0, scored=True)

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        users, items = self._sides(catalog)
        start = START / self.width**0.5
        rows = torch.randn(catalog.num_items, self.width, generator=generator) * start
        for _ in range(self.iterations):
            rows = items.solve(users.solve(rows))
        self.item.assign(rows)
        self.user.assign(users.solve(self.item.rows().detach()))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        return self.item.score(self.user.lookup(requests.users))

    def _sides(self, catalog: Catalog) -> tuple["_Side", "_Side"]:
        users, items = self._penalties(catalog)
        return (
            _Side(users, self.unobserved_weight, _groups(catalog.matrix, self.width)),
            _Side(items, self.unobserved_weight, _groups(catalog.matrix.T.tocsr(), self.width)),
        )

    def _penalties(self, catalog: Catalog) -> tuple[Tensor, Tensor]:
        """Penalties of users (U,) and items (I,)."""
        counts = np.concatenate([catalog.user_counts, catalog.item_counts])
        sides = [catalog.num_users, catalog.num_items]
        masses = counts + self.unobserved_weight * np.repeat(sides[::-1], sides)
        shares = masses**self.frequency_exponent
        penalties = self.regularization * shares * (masses.sum() / shares.sum())
        users, items = torch.from_numpy(penalties).float().split(sides)
        return users, items


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of similar degree: which (B,), and the columns each met (B, L), padded at the end."""

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True, slots=True)
class _Side:
    """The rows of one side of the matrix, to be solved against those of the other.

    Attributes:
        penalties: (N,) float32.
        unobserved_weight: weight of every pair.
        groups: the rows that have an interaction; the others are 0.
    """

    penalties: Tensor
    unobserved_weight: float
    groups: list[_Group]

    def solve(self, fixed: Tensor) -> Tensor:
        """The best rows (N, D) against the rows (M, D) of the other side."""
        double = fixed.double()
        spectrum, basis = torch.linalg.eigh(self.unobserved_weight * double.T @ double)
        # In the basis where what all rows share is diagonal, a row's system is easy to invert.
        rotated = torch.cat([double @ basis, double.new_zeros(1, fixed.shape[1])]).float()
        spectrum = spectrum.clamp(min=0.0).float()
        solved: Tensor = fixed.new_zeros(len(self.penalties), fixed.shape[1])
        for group in self.groups:
            diagonal = spectrum + self.penalties[group.rows, None]  # (B, D)
            solved[group.rows] = solve_rows(rotated[group.columns], diagonal)
        back: Tensor = basis.T.float()
        return solved @ back


def solve_rows(met: Tensor, diagonal: Tensor) -> Tensor:
    """Solutions x of (diag(d) + M'M) x = M'1 for M (B, L, D) and d > 0 (B, D): (B, D) float32."""
    try:
        return _solve(met, diagonal)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined] # public, absent from the stubs
        # Weak penalties leave a system that float32 cannot tell from a singular one.
        return _solve(met.double(), diagonal.double()).float()


def _solve(met: Tensor, diagonal: Tensor) -> Tensor:
    """Solves as it stands, or by x = d^-1 M' (I + M d^-1 M')^-1 1, whichever is smaller."""
    if met.shape[1] >= met.shape[2]:
        return _solve_positive(torch.diag_embed(diagonal).baddbmm_(met.mT, met), met.sum(1))
    scaled = met / diagonal.sqrt()[:, None]
    inner = torch.bmm(scaled, scaled.mT)
    inner.diagonal(dim1=1, dim2=2).add_(1.0)
    combined = _solve_positive(inner, inner.new_ones(inner.shape[:2]))  # (B, L)
    return torch.bmm(combined[:, None], met)[:, 0] / diagonal


def _solve_positive(matrices: Tensor, right: Tensor) -> Tensor:
    """Solutions (B, N) of positive definite systems (B, N, N) with right sides (B, N)."""
    return torch.cholesky_solve(right[..., None], torch.linalg.cholesky(matrices))[..., 0]


def _groups(matrix: sp.csr_matrix, width: int) -> list[_Group]:
    degrees = np.diff(matrix.indptr)
    rows = np.flatnonzero(degrees)
    steps = np.ceil(np.log(degrees[rows]) / np.log(GROWTH))
    return [
        _group(matrix, part)
        for step in np.unique(steps)
        for part in _parts(rows[steps == step], degrees, width)
    ]


def _parts(rows: Rows, degrees: Rows, width: int) -> list[Rows]:
    """Rows in parts small enough to be solved at once."""
    values = len(rows) * int(degrees[rows].max()) * width
    return np.array_split(rows, min(len(rows), -(-values // GROUP_VALUES)))


def _group(matrix: sp.csr_matrix, rows: Rows) -> _Group:
    starts, lengths = matrix.indptr[rows], np.diff(matrix.indptr)[rows]
    offsets = np.arange(lengths.max())
    inside = offsets < lengths[:, None]
    places = np.where(inside, starts[:, None] + offsets, 0)
    columns = np.where(inside, matrix.indices[places], matrix.shape[1])
    return _Group(torch.from_numpy(rows), torch.from_numpy(columns.astype(np.int64)))
