"""Grids of blocks, each of which is a product of narrow factors."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Form, Grid, dense_form
from automl_rec.plugin.matrices.matrix import Matrix, sum_bags


class GridSizes(NamedTuple):
    """How a matrix is divided; what its blocks have beyond its rows and columns counts as 0.

    Attributes:
        blocks: of rows, each of the height H.
        height: H.
        pieces: of columns, each of the width W.
        width: W.
        rank: R of each block of a piece.
    """

    blocks: int
    height: int
    pieces: int
    width: int
    rank: int

    @property
    def down(self) -> tuple[int, int]:
        """Shape of what reads the columns."""
        return self.pieces * self.blocks * self.rank, self.width

    @property
    def up(self) -> tuple[int, int]:
        """Shape of what gives the rows."""
        return self.blocks * self.height, self.pieces * self.rank

    @property
    def numbers(self) -> int:
        """Numbers of both together."""
        return self.down[0] * self.down[1] + self.up[0] * self.up[1]

    def form(self) -> Grid:
        """The form of such a grid in float32."""
        return Grid(dense_form(*self.down), dense_form(*self.up), self.blocks)


class GridMatrix(Matrix):
    """A grid of blocks (H, W), each of rank R: two block-diagonal products and a turn between.

    Every piece of the input is multiplied with its own matrix, which gives R numbers for each block
    of rows; every block multiplies what all pieces gave it. Both may be under training.

    Attributes:
        down: (pieces * blocks * R, W): rows of a piece's matrix, block after block.
        up: (blocks * H, pieces * R): columns of a block's matrix, piece after piece.
        sizes: of the grid.
    """

    def __init__(self, rows: int, columns: int, down: Matrix, up: Matrix, sizes: GridSizes) -> None:
        super().__init__()
        self.rows, self.columns, self.sizes = rows, columns, sizes
        self.down, self.up = down, up
        self._expanded: tuple[Tensor, Tensor] | None = None

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        return self.effective()[ids]

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        blocks, height, pieces, width, rank = self.sizes
        down, up = self._cores()
        flat = F.pad(x.reshape(-1, self.columns), (0, pieces * width - self.columns))
        inputs = flat.reshape(-1, pieces, width).transpose(0, 1)  # (P, B, W)
        inner = inputs @ down.reshape(pieces, blocks * rank, width).transpose(1, 2)  # (P, B, K R)
        turned = inner.reshape(pieces, -1, blocks, rank).permute(2, 1, 0, 3)  # (K, B, P, R)
        outer = up.reshape(blocks, height, pieces * rank).transpose(1, 2)
        product = turned.reshape(blocks, -1, pieces * rank) @ outer  # (K, B, H)
        rows = product.transpose(0, 1).reshape(-1, blocks * height)[:, : self.rows]
        return rows.reshape(*x.shape[:-1], self.rows)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return sum_bags(self.gather(ids), indptr)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.effective().detach()

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        blocks, height, pieces, width, rank = self.sizes
        down, up = self._cores()
        shapes = (pieces, blocks, rank, width), (blocks, height, pieces, rank)
        whole = torch.einsum("pkrw,khpr->khpw", down.reshape(shapes[0]), up.reshape(shapes[1]))
        return whole.reshape(blocks * height, pieces * width)[: self.rows, : self.columns]

    def form(self) -> Form:
        """See `Matrix.form`."""
        return Grid(self.down.form(), self.up.form(), self.sizes.blocks)

    def assign(self, values: Tensor) -> None:
        """See `Matrix.assign`: the nearest of its rank to each block."""
        blocks, height, pieces, width, rank = self.sizes
        padding = pieces * width - self.columns, blocks * height - self.rows
        padded = F.pad(values, (0, padding[0], 0, padding[1]))
        grid = padded.reshape(blocks, height, pieces, width).transpose(1, 2)  # (K, P, H, W)
        inner, found, outer = torch.linalg.svd(grid, full_matrices=False)
        missing = max(rank - found.shape[-1], 0)
        root = F.pad(found[..., :rank], (0, missing)).sqrt()
        left = F.pad(inner[..., :rank], (0, missing)) * root[..., None, :]  # (K, P, H, R)
        right = F.pad(outer[..., :rank, :], (0, 0, 0, missing)) * root[..., None]  # (K, P, R, W)
        self.up.assign(left.transpose(1, 2).reshape(self.sizes.up))
        self.down.assign(right.transpose(0, 1).reshape(self.sizes.down))

    def stored(self) -> Matrix:
        """See `Matrix.stored`."""
        down, up = self.down.stored(), self.up.stored()
        return GridMatrix(self.rows, self.columns, down, up, self.sizes)

    def _cores(self) -> tuple[Tensor, Tensor]:
        """What both are; kept once they are stored."""
        if any(True for _ in self.parameters()):
            return self.down.effective(), self.up.effective()
        if self._expanded is None:
            self._expanded = self.down.dense(), self.up.dense()
        return self._expanded
