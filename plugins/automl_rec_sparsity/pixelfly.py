"""Fixed blocks and a product of narrow factors, in place of a whole weight."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    DenseMatrix,
    Form,
    Infeasible,
    LowRankMatrix,
    Matrix,
    Product,
    Sparsity,
    Sum,
    SumMatrix,
    TrainableMatrix,
    Weight,
    dense_form,
    in_tiles,
    spread_tiles,
    tiled_form,
)
from automl_rec_sparsity.butterfly import flat_butterfly

BLOCKS_A_SIDE = 4
"""Blocks are made smaller until the shorter side of a weight has so many."""


class Shape(NamedTuple):
    """What takes the place of a weight.

    Attributes:
        side: of a block.
        rank: of the factors.
        blocks: (rows of blocks, columns of blocks) bool, those that are not 0.
    """

    side: int
    rank: int
    blocks: Tensor


class Pixelfly(Sparsity):
    """Trains ``g B + (1 - g) U V'`` from the start: blocks B of a flat butterfly, and factors.

    Blocks stand at fixed places; the scalar g is learned, and folded into both when the model is
    finished. Linear weights alone are changed, and those alone that it makes smaller. It takes the
    place of a rank as well.

    Source: Dao et al., ICLR 2022 (Pixelated Butterfly). Ours starts the blocks from the weight's
    own values, times the root of columns over columns kept, and the factors from its largest
    singular vectors, at its norm.
    """

    def __init__(self, block: int, strides: int, rank: float) -> None:
        """Sets the scheme.

        Args:
            block: side of a block at most, a power of two.
            strides: factors of the butterfly, each of which adds a block to every row of blocks.
            rank: of the factors, as a share of the shorter side.
        """
        self._block, self._strides, self._rank = block, strides, rank
        self._joined: set[str] = set()

    @property
    def acts_in_training(self) -> bool:
        """See `Sparsity.acts_in_training`."""
        return True

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.join`.

        Raises:
            Infeasible: no weight would become smaller.
        """
        for weight in weights.values():
            shape = self._shape_of(weight.rows, weight.columns)
            if weight.role == "linear" and shape is not None:
                weight.matrix = PixelflyMatrix(weight.matrix, shape)
                self._joined.add(weight.name)
        if not self._joined:
            raise Infeasible(
                "pixelfly finds no linear weight that its blocks and factors would make smaller. "
                "Lower strides or rank, or choose another model or sparsity."
            )

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact."""
        return {
            name: self._priced(form) if name in self._joined else form
            for name, form in forms.items()
        }

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        for weight in weights.values():
            matrix = weight.matrix
            if isinstance(matrix, SumMatrix):
                shape = self._shape_of(weight.rows, weight.columns)
                assert shape is not None, "it has been joined"
                tiles = in_tiles(matrix.first.dense(), shape.blocks, shape.side)
                weight.matrix = SumMatrix(tiles, matrix.second)

    def _priced(self, form: Form) -> Form:
        (leaf,) = form.leaves()
        rows, columns = int(leaf.rows.low), int(leaf.columns.low)
        shape = self._shape_of(rows, columns)
        assert shape is not None, "it has been joined"
        return _form(rows, columns, shape)

    def _shape_of(self, rows: int, columns: int) -> Shape | None:
        """What takes the place of a weight; None where it would be no smaller."""
        shorter = min(rows, columns)
        largest = max(shorter // BLOCKS_A_SIDE, 1)
        side = min(self._block, 1 << (largest.bit_length() - 1))
        # The meta device, on which prices are made, has no places of blocks.
        with torch.device("cpu"):
            blocks = flat_butterfly(-(-rows // side), -(-columns // side), self._strides)
        shape = Shape(side, max(round(self._rank * shorter), 1), blocks)
        smaller = _form(rows, columns, shape).bytes.low < dense_form(rows, columns).bytes.low
        return shape if smaller else None


class PixelflyMatrix(Matrix):
    """``g B + (1 - g) U V'`` under training.

    Attributes:
        blocks: B, masked but for its blocks.
        left: U (rows, rank).
        right: V (columns, rank).
        gate: g, a scalar.
    """

    def __init__(self, start: Matrix, shape: Shape) -> None:
        super().__init__()
        self.rows, self.columns = start.rows, start.columns
        self.blocks = TrainableMatrix(self.rows, self.columns)
        self.left = TrainableMatrix(self.rows, shape.rank)
        self.right = TrainableMatrix(self.columns, shape.rank)
        self.gate = nn.Parameter(torch.full((), 0.5))
        mask = spread_tiles(shape.blocks, shape.side, self.rows, self.columns)
        self.blocks.mask = mask.to(self.blocks.weight)
        if not self.blocks.weight.is_meta:
            self._start(start.dense(), mask)

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        return self.effective().index_select(0, ids.reshape(-1)).reshape(*ids.shape, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return x @ self.effective().T

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        weight = self.effective()
        return nn.functional.embedding_bag(ids, weight, indptr[:-1], mode="sum")

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.effective().detach()

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        left = (1.0 - self.gate) * self.left.effective()
        return self.gate * self.blocks.effective() + left @ self.right.effective().T

    def form(self) -> Form:
        """See `Matrix.form`."""
        factors = Product(self.left.form(), self.right.form())
        return Sum(self.blocks.form(), factors)

    def stored(self) -> Matrix:
        """See `Matrix.stored`: the scalar is folded into blocks and factors."""
        gate = self.gate.detach()
        left = DenseMatrix((1.0 - gate) * self.left.dense())
        blocks = DenseMatrix(gate * self.blocks.dense())
        return SumMatrix(blocks, LowRankMatrix(left, self.right.stored()))

    @torch.no_grad()
    def _start(self, weight: Tensor, mask: Tensor) -> None:
        share = mask.float().mean(1, keepdim=True)
        self.blocks.weight.copy_(weight / share.clamp(min=1.0 / self.columns).sqrt())
        inner, values, outer = torch.linalg.svd(weight, full_matrices=False)
        rank = self.left.columns
        norm = weight.norm() / values[:rank].norm().clamp(min=1e-12)
        root = (values[:rank] * norm).sqrt()
        self.left.weight.copy_(inner[:, :rank] * root)
        self.right.weight.copy_(outer[:rank].T * root)


def _form(rows: int, columns: int, shape: Shape) -> Form:
    factors = Product(dense_form(rows, shape.rank), dense_form(columns, shape.rank))
    return Sum(tiled_form(rows, columns, shape.side, int(shape.blocks.sum())), factors)
