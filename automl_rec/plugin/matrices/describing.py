"""Layouts as plain data, and matrices of such shapes without values."""

from typing import Any, cast

import torch
from torch import Tensor

from automl_rec.plugin.form import LARGEST_INTEGER, Leaf, Pattern, Precision
from automl_rec.plugin.matrices.blocks import BlockMatrix
from automl_rec.plugin.matrices.codes import CodebookMatrix
from automl_rec.plugin.matrices.corner import CornerMatrix
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.grid import GridMatrix, GridSizes
from automl_rec.plugin.matrices.low_rank import LowRankMatrix
from automl_rec.plugin.matrices.matrix import Matrix
from automl_rec.plugin.matrices.part import PartMatrix
from automl_rec.plugin.matrices.pattern import PatternMatrix
from automl_rec.plugin.matrices.sparse import BitmapMatrix, CsrMatrix, SparseMatrix
from automl_rec.plugin.matrices.sum import SumMatrix
from automl_rec.plugin.matrices.tiles import TileMatrix
from automl_rec.plugin.matrices.values import precision_of, stored_as

LAYOUTS: dict[type[Matrix], str] = {
    DenseMatrix: "dense",
    CsrMatrix: "csr",
    BitmapMatrix: "bitmap",
    PatternMatrix: "pattern",
}


def describe(matrix: Matrix) -> dict[str, Any]:
    """The layout as plain data, from which `blank` makes a matrix of the same shape."""
    if isinstance(matrix, LowRankMatrix):
        factors = {"left": describe(matrix.left), "right": describe(matrix.right)}
        return {"layout": "low-rank", "zero_diagonal": matrix.zero_diagonal, **factors}
    if isinstance(matrix, SumMatrix):
        return {"layout": "sum", "first": describe(matrix.first), "second": describe(matrix.second)}
    if isinstance(matrix, CornerMatrix):
        sizes = {"rows": matrix.rows, "columns": matrix.columns}
        return {"layout": "corner", **sizes, "corner": describe(matrix.corner)}
    if isinstance(matrix, TileMatrix):
        sizes = {"rows": matrix.rows, "columns": matrix.columns}
        kernel = {"kernel": matrix.kernel}
        return {"layout": "tiles", **sizes, **kernel, "tiles": describe(matrix.tiles)}
    if isinstance(matrix, PartMatrix):
        sizes = {"rows": matrix.rows, "columns": matrix.columns}
        return {"layout": "part", **sizes, "kept": describe(matrix.kept)}
    if isinstance(matrix, GridMatrix):
        sizes = {"rows": matrix.rows, "columns": matrix.columns}
        cores = {"down": describe(matrix.down), "up": describe(matrix.up)}
        return {"layout": "grid", **sizes, "grid": list(matrix.sizes), **cores}
    if isinstance(matrix, CodebookMatrix):
        sizes = {"rows": matrix.rows, "parts": matrix.parts}
        return {"layout": "codes", **sizes, "words": describe(matrix.words)}
    if isinstance(matrix, BlockMatrix):
        sizes = {"rows": matrix.rows, "columns": matrix.columns, "number": matrix.number}
        return {"layout": "blocks", **sizes, "pieces": describe(matrix.pieces)}
    stored = cast("DenseMatrix | SparseMatrix", matrix)
    described = {
        "layout": LAYOUTS[type(stored)],
        "rows": stored.rows,
        "columns": stored.columns,
        "entries": int(cast("Leaf", stored.form()).entries.low),
        "precision": precision_of(stored.values),
    }
    if isinstance(stored, SparseMatrix):
        described["kernel"] = stored.kernel
    if isinstance(stored, PatternMatrix):
        described["pattern"] = list(stored.pattern)
    return described


def blank(description: dict[str, Any]) -> Matrix:
    """A matrix on the meta device with the layout and shapes of a description.

    Raises:
        KeyError: the description lacks a field or names no layout.
    """
    layout = description["layout"]
    if layout == "low-rank":
        left, right = blank(description["left"]), blank(description["right"])
        return LowRankMatrix(left, right, zero_diagonal=bool(description["zero_diagonal"]))
    if layout == "sum":
        return SumMatrix(blank(description["first"]), blank(description["second"]))
    if layout == "corner":
        sizes = int(description["rows"]), int(description["columns"])
        return CornerMatrix(*sizes, blank(description["corner"]))
    if layout == "tiles":
        tiles, sizes = blank(description["tiles"]), (description["rows"], description["columns"])
        down = -(-sizes[0] // round(tiles.columns**0.5))
        with torch.device("meta"):
            starts, places = torch.empty(down + 1), torch.empty(tiles.rows)
        tiled = TileMatrix(*sizes, starts, places, tiles)
        tiled.kernel = description["kernel"]
        return tiled
    if layout == "part":
        sizes = int(description["rows"]), int(description["columns"])
        kept = blank(description["kept"])
        pairs = zip((kept.rows, kept.columns), sizes, strict=True)
        with torch.device("meta"):
            numbers = [None if some == every else torch.empty(some) for some, every in pairs]
        return PartMatrix(*sizes, kept, *numbers)
    if layout == "grid":
        sizes = int(description["rows"]), int(description["columns"])
        cores = blank(description["down"]), blank(description["up"])
        return GridMatrix(*sizes, *cores, GridSizes(*description["grid"]))
    if layout == "codes":
        with torch.device("meta"):
            codes = torch.empty(int(description["rows"]), int(description["parts"]))
        return CodebookMatrix(codes, blank(description["words"]))
    if layout == "blocks":
        pieces = blank(description["pieces"])
        with torch.device("meta"):
            blocks, places = torch.empty(int(description["rows"])), torch.empty(pieces.rows)
        sizes = int(description["columns"]), int(description["number"])
        return BlockMatrix(*sizes, blocks, places, pieces)
    rows, columns, entries = (int(description[name]) for name in ("rows", "columns", "entries"))
    precision: Precision = description["precision"]
    with torch.device("meta"):
        scale = torch.empty(rows) if precision in LARGEST_INTEGER else None
        if layout == "dense":
            values = stored_as(torch.empty(rows, columns), precision)
            return DenseMatrix(values, scale, columns=columns)
        values = stored_as(torch.empty(entries), precision)
        matrix = _blank_sparse(layout, (rows, columns), values, scale, description)
    matrix.kernel = description["kernel"]
    return matrix


def _blank_sparse(
    layout: str,
    shape: tuple[int, int],
    values: Tensor,
    scale: Tensor | None,
    description: dict[str, Any],
) -> SparseMatrix:
    rows, columns = shape
    entries = int(description["entries"])
    if layout == "csr":
        indptr, indices = torch.empty(rows + 1), torch.empty(entries)
        return CsrMatrix(columns, indptr, indices, values, scale)
    if layout == "pattern":
        pattern = Pattern(*description["pattern"])
        digits = pattern.groups(rows, columns) * pattern.bits
        codes = torch.empty(-(-digits // 8), dtype=torch.uint8)
        return PatternMatrix(rows, columns, pattern, codes, values, scale)
    if layout == "bitmap":
        bits = torch.empty(-(-rows * columns // 8), dtype=torch.uint8)
        return BitmapMatrix(rows, columns, bits, values, scale, entries=entries)
    raise KeyError(layout)
