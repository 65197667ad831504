"""Grids of blocks of low rank, in place of linears, from the first step on."""

from typing import Literal

import torch

from automl_rec.plugin import Form, GridMatrix, GridSizes, TrainableMatrix, Weight
from automl_rec_rank.allocation import Size
from automl_rec_rank.factors import TrainedRank


class Btt(TrainedRank):
    """Trains linears as two block-diagonal products with a turn between them.

    A weight (M, N) is a grid of blocks, each of rank R: pieces of the input are multiplied with a
    matrix each, and blocks of the output with one each, of what all pieces gave them. That takes
    R (pieces N / pieces blocks + M pieces) numbers and as many multiply-adds. ``even`` grids have
    about root N pieces and root M blocks, whose rank is set (block tensor trains of two cores);
    ``monarch`` grids have as many blocks as pieces, and ranks with which the numbers between both
    products are those of the narrow side. Sides that do not divide are filled up with zeros.

    At the full rank of its blocks a grid is any matrix. It starts as the nearest to the weight's
    start, blown up to the length of that. A weight that a grid would not make smaller stays whole,
    and so do tables, whose rows would all be computed from each other's numbers.

    Source: Qiu et al., ICML 2024, arXiv 2406.06248 (block tensor train), and Dao et al., ICML 2022,
    arXiv 2204.00595 (Monarch). Blocks are of neighbouring rows and columns here, which renumbers
    theirs; both products learn at the loop's rate, where the former scales rates by their shapes.
    """

    linears_alone = True

    def __init__(
        self, grid: Literal["even", "monarch"], block_rank: int = 1, blocks: int = 4
    ) -> None:
        """Sets the scheme.

        Args:
            grid: how weights are divided.
            block_rank: R of an even grid.
            blocks: of a Monarch grid, each way.
        """
        super().__init__()
        self._blocks = blocks if grid == "monarch" else None
        self._rank = block_rank

    def served(self, size: Size) -> Form | None:
        """See `TrainedRank.served`; exact."""
        sizes = self.sizes(size)
        return sizes.form() if sizes.numbers < size.rows * size.columns else None

    def factors(self, weight: Weight, size: Size) -> GridMatrix:
        """See `TrainedRank.factors`."""
        sizes = self.sizes(size)
        cores = TrainableMatrix(*sizes.down), TrainableMatrix(*sizes.up)
        grid = GridMatrix(weight.rows, weight.columns, *cores, sizes)
        if not weight.trainable.is_meta:
            with torch.no_grad():
                _start(grid, weight)
        return grid

    def sizes(self, size: Size) -> GridSizes:
        """The grid of a weight."""
        if self._blocks is None:
            blocks, height = _divided(size.rows)
            pieces, width = _divided(size.columns)
            return GridSizes(blocks, height, pieces, width, min(self._rank, height, width))
        count = min(self._blocks, size.narrow)
        height, width = -(-size.rows // count), -(-size.columns // count)
        rank = min(max(round(size.narrow / count**2), 1), height, width)
        return GridSizes(count, height, count, width, rank)


def _divided(side: int) -> tuple[int, int]:
    """The most even two factors of a side, or of the first number past it that has even ones."""
    root = max(int(side**0.5), 1)
    divisor = next(number for number in range(root, 0, -1) if side % number == 0)
    if 2 * divisor >= root:
        return divisor, side // divisor
    return -(-side // (root + 1)), root + 1


def _start(grid: GridMatrix, weight: Weight) -> None:
    """The nearest grid to a weight, at its length: as large products of random numbers."""
    grid.assign(weight.trainable)
    length = grid.dense().norm()
    scale = (weight.trainable.norm() / length).sqrt() if length > 0 else torch.ones(())
    for core in (grid.down, grid.up):
        assert isinstance(core, TrainableMatrix), "it was made to be trained"
        core.weight.mul_(scale)
