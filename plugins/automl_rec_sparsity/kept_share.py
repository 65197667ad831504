"""A share of all entries that is kept: what its schemes have in common."""

from collections.abc import Mapping, Sequence
from typing import Literal

import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import (
    BitmapMatrix,
    CsrMatrix,
    Form,
    Matrix,
    Sparsity,
    TrainableMatrix,
    Weight,
    keep,
    leaves,
    map_leaves,
)
from automl_rec_sparsity.bounds import kept_by_shape, kept_of_each, kept_overall
from automl_rec_sparsity.selection import Entries, by_shape, largest_of_each_row, overall, uniform

Scope = Literal["uniform", "erk", "global"]


class KeptShare(Sparsity):
    """Serves exactly a share of all entries, the largest by absolute value.

    Exactly ``round(density * rows * columns)`` entries of every matrix stay (uniform), or as many
    as its shape deserves (erk), or of all matrices together (global). Where fewer are present (a
    model that stores its weight sparse), those stay. Ties go to the first in row order.
    """

    def __init__(self, density: float, scope: Scope, *, spare_rows: bool = False) -> None:
        """Sets the share.

        Args:
            density: share of entries that stays.
            scope: how it is spread over the matrices.
            spare_rows: whether the largest entry of each row stays under the global scope.
        """
        self.density, self.scope, self.spare_rows = density, scope, spare_rows
        self._trained: list[TrainableMatrix] = []

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.join`."""
        matrices = (leaf for weight in weights.values() for leaf in leaves(weight.matrix))
        self._trained = [matrix for matrix in matrices if isinstance(matrix, TrainableMatrix)]
        for matrix in self._trained:
            matrix.mask = torch.ones_like(matrix.weight)

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact for dense weights of known rank, unless the scope is global.

        Under the global scope it is exact for one weight alone.
        """
        if self.scope == "uniform":
            return kept_of_each(forms, self.density)
        if self.scope == "erk":
            return kept_by_shape(forms, self.density)
        return kept_overall(forms, self.density, spare_rows=self.spare_rows)

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        dense = {name: weight for name, weight in weights.items() if weight.limit is None}
        sparse = {
            name: stored_entries(w.matrix) for name, w in weights.items() if w.limit is not None
        }
        stored = [leaf for weight in dense.values() for leaf in leaves(weight.matrix)]
        entries = [self.entries(leaf.dense()) for leaf in stored]
        entries += [_present(matrix) for matrix in sparse.values()]
        kept = iter(self.chosen(entries, self.density))
        for weight in dense.values():
            weight.matrix = map_leaves(weight.matrix, lambda leaf: _kept(leaf, next(kept)))
        for name, matrix in sparse.items():
            matrix.data[~next(kept).numpy()] = 0.0
            weights[name].assign(matrix)

    def chosen(self, entries: Sequence[Entries], density: float) -> list[Tensor]:
        """Which entries of every matrix stay at a density: (N,) bool each."""
        if not entries:
            return []
        choices = {"uniform": uniform, "erk": by_shape, "global": overall}
        return choices[self.scope](entries, density)

    def entries(self, values: Tensor) -> Entries:
        """Every entry of values (N, D)."""
        spared = largest_of_each_row(values).reshape(-1) if self.spare_rows else None
        rows, columns = values.shape
        return Entries(values.abs().reshape(-1), rows, columns, spared)


def mask_of(matrix: TrainableMatrix) -> Tensor:
    """The mask of a matrix that a sparsity has joined."""
    assert matrix.mask is not None, "masks are set when it joins"
    return matrix.mask


def _kept(leaf: Matrix, kept: Tensor) -> Matrix:
    return keep(leaf.dense(), kept.reshape(leaf.rows, leaf.columns))


def stored_entries(matrix: Matrix) -> sp.csr_matrix:
    """The entries of a weight that its model stores sparse, to be changed."""
    if isinstance(matrix, CsrMatrix | BitmapMatrix):
        return matrix.expanded().copy()
    return sp.csr_matrix(matrix.dense().numpy())


def _present(matrix: sp.csr_matrix) -> Entries:
    return Entries(torch.from_numpy(abs(matrix.data)), *matrix.shape)
