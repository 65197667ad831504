"""Matrices of which only some squares of entries are not 0."""

from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Form, Interval, Leaf, Tiled, index_bytes, tiled_form
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.expanding import ExpandingMatrix
from automl_rec.plugin.matrices.matrix import Matrix
from automl_rec.plugin.matrices.values import INDEX_TYPES


class TileMatrix(ExpandingMatrix):
    """Squares of entries, row of tiles after row of tiles; the entries of all others are 0.

    A tile that reaches over an edge is stored whole, filled up with zeros.

    Attributes:
        tiles: (T, side^2), a row a tile, its entries row by row.
        starts: (rows of tiles + 1,) where each begins, of the smallest unsigned type.
        numbers: (T,) column of tiles of each, likewise.
    """

    starts: Tensor
    numbers: Tensor

    def __init__(
        self, rows: int, columns: int, starts: Tensor, numbers: Tensor, tiles: Matrix
    ) -> None:
        super().__init__(rows, columns)
        self.tiles, self.side = tiles, round(tiles.columns**0.5)
        across = -(-columns // self.side)
        self.register_buffer("starts", starts.to(INDEX_TYPES[index_bytes(tiles.rows)]))
        self.register_buffer("numbers", numbers.to(INDEX_TYPES[index_bytes(across - 1)]))

    def compressed_rows(self) -> sp.csr_matrix:
        """See `ExpandingMatrix.compressed_rows`."""
        side, starts = self.side, self.starts.numpy().astype(np.int32)
        shape = (len(starts) - 1) * side, -(-self.columns // side) * side
        values = self.tiles.dense().reshape(-1, side, side).numpy()
        parts = values, self.numbers.numpy().astype(np.int32), starts
        whole = sp.bsr_matrix(parts, shape).tocsr()
        matrix = whole[: self.rows, : self.columns]
        matrix.sort_indices()
        return matrix

    def form(self) -> Form:
        """See `Matrix.form`."""
        rows, columns = Interval(self.rows, self.rows), Interval(self.columns, self.columns)
        return Tiled(rows, columns, self.side, cast("Leaf", self.tiles.form()))


def in_tiles(weight: Tensor, kept: Tensor, side: int) -> Matrix:
    """The tiles of weight (rows, columns) that are kept, or a dense matrix if that is smaller.

    Args:
        weight: float32 values.
        kept: (ceil(rows / side), ceil(columns / side)) bool.
        side: rows and columns of a tile.
    """
    rows, columns = weight.shape
    if not isinstance(tiled_form(rows, columns, side, int(kept.sum())), Tiled):
        return DenseMatrix(weight * spread_tiles(kept, side, rows, columns))
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), kept.sum(1).cumsum(0)])
    tiles = DenseMatrix(tiles_of(weight, side)[kept.reshape(-1)].contiguous())
    return TileMatrix(rows, columns, starts, kept.nonzero()[:, 1], tiles)


def tiles_of(values: Tensor, side: int) -> Tensor:
    """All tiles of values (rows, columns), a row each: (T, side^2); edges are filled with 0."""
    rows, columns = values.shape
    padded = F.pad(values, (0, -columns % side, 0, -rows % side))
    split = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    return split.transpose(1, 2).reshape(-1, side * side)


def spread_tiles(kept: Tensor, side: int, rows: int, columns: int) -> Tensor:
    """What is kept of tiles, bool, as entries: (rows, columns) bool."""
    wide = kept.repeat_interleave(side, 0).repeat_interleave(side, 1)
    return wide[:rows, :columns]
