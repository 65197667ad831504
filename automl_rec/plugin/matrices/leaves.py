"""What matrices are made of."""

from collections.abc import Callable

from automl_rec.plugin.matrices.blocks import BlockMatrix
from automl_rec.plugin.matrices.codes import CodebookMatrix
from automl_rec.plugin.matrices.corner import CornerMatrix
from automl_rec.plugin.matrices.grid import GridMatrix
from automl_rec.plugin.matrices.low_rank import LowRankMatrix
from automl_rec.plugin.matrices.matrix import Matrix
from automl_rec.plugin.matrices.part import PartMatrix
from automl_rec.plugin.matrices.sum import SumMatrix
from automl_rec.plugin.matrices.tiles import TileMatrix


def leaves(matrix: Matrix) -> list[Matrix]:
    """What a matrix is made of, in the order of `map_leaves`."""
    found: list[Matrix] = []

    def note(leaf: Matrix) -> Matrix:
        found.append(leaf)
        return leaf

    map_leaves(matrix, note)
    return found


def map_leaves(matrix: Matrix, change: Callable[[Matrix], Matrix]) -> Matrix:
    """The matrix with what it is made of changed: factors, terms, grid, codebook, or itself."""
    if isinstance(matrix, CodebookMatrix):
        return CodebookMatrix(matrix.codes, map_leaves(matrix.words, change))
    if isinstance(matrix, BlockMatrix):
        pieces = map_leaves(matrix.pieces, change)
        return BlockMatrix(matrix.columns, matrix.number, matrix.blocks, matrix.places, pieces)
    if isinstance(matrix, SumMatrix):
        return SumMatrix(map_leaves(matrix.first, change), map_leaves(matrix.second, change))
    if isinstance(matrix, TileMatrix):
        tiles = map_leaves(matrix.tiles, change)
        return TileMatrix(matrix.rows, matrix.columns, matrix.starts, matrix.numbers, tiles)
    if isinstance(matrix, PartMatrix):
        kept = map_leaves(matrix.kept, change)
        numbers = matrix.kept_rows, matrix.kept_columns
        return PartMatrix(matrix.rows, matrix.columns, kept, *numbers)
    if isinstance(matrix, CornerMatrix):
        return CornerMatrix(matrix.rows, matrix.columns, map_leaves(matrix.corner, change))
    if isinstance(matrix, GridMatrix):
        down, up = map_leaves(matrix.down, change), map_leaves(matrix.up, change)
        return GridMatrix(matrix.rows, matrix.columns, down, up, matrix.sizes)
    if isinstance(matrix, LowRankMatrix):
        left, right = map_leaves(matrix.left, change), map_leaves(matrix.right, change)
        return LowRankMatrix(left, right, zero_diagonal=matrix.zero_diagonal)
    return change(matrix)
