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
    in_tiles,
    keep,
    leaves,
    map_leaves,
    spread_tiles,
    tiles_of,
)
from automl_rec_sparsity.bounds import kept_by_shape, kept_of_each, kept_overall, kept_tiles
from automl_rec_sparsity.selection import Entries, by_shape, largest_of_each_row, overall, uniform

Scope = Literal["uniform", "erk", "global"]


class KeptShare(Sparsity):
    """Serves exactly a share of all entries, the largest by absolute value.

    Exactly ``round(density * rows * columns)`` entries of every matrix stay (uniform), or as many
    as its shape deserves (erk), or of all matrices together (global). Of squares of entries, which
    stay or go as one by their norm, a share is counted in squares. Where fewer are present (a
    model that stores its weight sparse), those stay. Ties go to the first in row order.
    """

    def __init__(
        self, density: float, scope: Scope, *, spare_rows: bool = False, block: int = 1
    ) -> None:
        """Sets the share.

        Args:
            density: share of entries that stays.
            scope: how it is spread over the matrices.
            spare_rows: whether the largest entry of each row stays under the global scope.
            block: side of the squares that stay or go as one, under the uniform scope; of weights
                that their model stores sparse it is single entries.
        """
        self.density, self.scope, self.spare_rows, self.block = density, scope, spare_rows, block
        self._trained: list[TrainableMatrix] = []
        self._settled = torch.zeros((), dtype=torch.bool)

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.join`."""
        matrices = (leaf for weight in weights.values() for leaf in leaves(weight.matrix))
        self._trained = [matrix for matrix in matrices if isinstance(matrix, TrainableMatrix)]
        for matrix in self._trained:
            matrix.mask = torch.ones_like(matrix.weight)
        self._settled = flag_on(self._trained)

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact for dense weights of known rank, unless the scope is global.

        Under the global scope it is exact for one weight alone.
        """
        if self.block > 1:
            return kept_tiles(forms, self.density, self.block)
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
            weight.matrix = map_leaves(weight.matrix, lambda leaf: self._stored(leaf, next(kept)))
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
        """Every entry of values (N, D), or every square."""
        if self.block > 1:
            down, across = (-(-size // self.block) for size in values.shape)
            return Entries(tiles_of(values, self.block).norm(dim=1), down, across)
        spared = largest_of_each_row(values).reshape(-1) if self.spare_rows else None
        rows, columns = values.shape
        return Entries(values.abs().reshape(-1), rows, columns, spared)

    def mask(self, kept: Tensor, rows: int, columns: int) -> Tensor:
        """What is kept of `entries`, (N,) bool, as a mask (rows, columns) bool."""
        if self.block == 1:
            return kept.reshape(rows, columns)
        return spread_tiles(self._squares(kept, columns), self.block, rows, columns)

    def _stored(self, leaf: Matrix, kept: Tensor) -> Matrix:
        if self.block > 1:
            return in_tiles(leaf.dense(), self._squares(kept, leaf.columns), self.block)
        return keep(leaf.dense(), kept.reshape(leaf.rows, leaf.columns))

    def _squares(self, kept: Tensor, columns: int) -> Tensor:
        return kept.reshape(-1, -(-columns // self.block))


def flag_on(matrices: Sequence[TrainableMatrix]) -> Tensor:
    """A bool that is kept with what the first of matrices learns."""
    flag = torch.zeros((), dtype=torch.bool)
    if matrices:
        matrices[0].register_buffer("flag", flag)
    return flag


def mask_of(matrix: TrainableMatrix) -> Tensor:
    """The mask of a matrix that a sparsity has joined."""
    assert matrix.mask is not None, "masks are set when it joins"
    return matrix.mask


def stored_entries(matrix: Matrix) -> sp.csr_matrix:
    """The entries of a weight that its model stores sparse, to be changed."""
    if isinstance(matrix, CsrMatrix | BitmapMatrix):
        return matrix.expanded().copy()
    return sp.csr_matrix(matrix.dense().numpy())


def _present(matrix: sp.csr_matrix) -> Entries:
    return Entries(torch.from_numpy(abs(matrix.data)), *matrix.shape)
