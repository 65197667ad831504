"""Rows in blocks, each of which has some of the columns."""

from typing import cast

import torch
from torch import Tensor

from automl_rec.plugin.form import Blocks, Form, Interval, Leaf, index_bytes
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.matrix import Matrix, sum_bags
from automl_rec.plugin.matrices.values import INDEX_TYPES


class BlockMatrix(Matrix):
    """Rows in blocks, each of which has some of the columns and zeros in the others.

    A column of a block is a row of ``pieces``: its values at the rows of the block, in their order,
    filled up to the size of the largest block.

    Attributes:
        blocks: (rows,) the block of each row, of the smallest unsigned type.
        places: (C,) block * columns + column of each row of ``pieces``, ascending, likewise.
        pieces: (C, ceil(rows / number of blocks)).
    """

    blocks: Tensor
    places: Tensor

    def __init__(
        self, columns: int, number: int, blocks: Tensor, places: Tensor, pieces: Matrix
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.number, self.pieces = len(blocks), columns, number, pieces
        self.register_buffer("blocks", blocks.to(INDEX_TYPES[index_bytes(number - 1)]))
        self.register_buffer("places", places.to(INDEX_TYPES[index_bytes(number * columns - 1)]))
        self._expanded: tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]] | None = None

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        blocks, places, pieces = self._parts()
        flat = ids.reshape(-1)
        mine, at = blocks[flat], places[flat]
        rows = torch.zeros(len(flat), self.columns)
        for block, (columns, values) in enumerate(pieces):
            found = (mine == block).nonzero()
            rows[found, columns] = values[:, at[found[:, 0]]].T
        return rows.reshape(*ids.shape, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        blocks, places, pieces = self._parts()
        products = [x[..., columns] @ values for columns, values in pieces]
        return torch.cat(products, -1).index_select(-1, blocks * self.pieces.columns + places)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return sum_bags(self.gather(ids), indptr)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.gather(torch.arange(self.rows))

    def form(self) -> Form:
        """See `Matrix.form`."""
        rows = Interval(self.rows, self.rows)
        return Blocks(rows, self.columns, self.number, cast("Leaf", self.pieces.form()))

    def _parts(self) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """The block and place of each row, and the columns and values of each block; kept."""
        if self._expanded is None:
            blocks, places, values = self.blocks.long(), self.places.long(), self.pieces.dense()
            owners, columns = places // self.columns, places % self.columns
            sizes = owners.bincount(minlength=self.number).tolist()
            pieces = list(zip(columns.split(sizes), values.split(sizes), strict=True))
            self._expanded = blocks, _ranks(blocks, self.number), pieces
        return self._expanded


def in_blocks(weight: Tensor, blocks: Tensor, kept: Tensor) -> BlockMatrix:
    """Weight (rows, columns) with only those columns of each block that are kept.

    Args:
        weight: float32 values.
        blocks: (rows,) int64 block of each row; none has more than its share, rounded up.
        kept: (number of blocks, columns) bool.
    """
    number, columns = kept.shape
    padded = torch.zeros(number, -(-len(blocks) // number), columns)
    padded[blocks, _ranks(blocks, number)] = weight
    pieces = DenseMatrix(padded.transpose(1, 2)[kept].contiguous())
    return BlockMatrix(columns, number, blocks, kept.reshape(-1).nonzero()[:, 0], pieces)


def in_blocks_shape(rows: int, columns: int, number: int, kept: int) -> BlockMatrix:
    """What `in_blocks` makes of so many kept columns of so many blocks, on the meta device."""
    with torch.device("meta"):
        pieces = DenseMatrix(torch.empty(kept, -(-rows // number)))
        return BlockMatrix(columns, number, torch.empty(rows), torch.empty(kept), pieces)


def _ranks(blocks: Tensor, number: int) -> Tensor:
    """The place of each row among those of its block: (rows,) int64."""
    sizes = blocks.bincount(minlength=number)
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    ranks = torch.empty_like(blocks)
    ranks[blocks.argsort(stable=True)] = torch.arange(len(blocks)) - starts
    return ranks
