"""Matrices: one interface for a 2-D weight, whatever its layout.

`TrainableMatrix` is what training changes. The others are stored layouts: what an artefact holds
and what is timed. Rank makes `LowRankMatrix` of dense ones, sparsity makes `CsrMatrix` or
`BitmapMatrix`, a codec changes the precision of any of them; of a `CornerMatrix` they change the
corner.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin.form import (
    LARGEST_INTEGER,
    Blocks,
    Coded,
    Form,
    Interval,
    Leaf,
    Precision,
    Product,
    cheapest_layout,
    index_bytes,
)

INDEX_TYPES = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32}
VALUE_TYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "int16": torch.int16,
    "int8": torch.int8,
    "int4": torch.uint8,
}
"""Of stored values; two of four bits share a byte, the first of them in its low half."""


class Matrix(nn.Module, ABC):
    """A weight W of shape (rows, columns)."""

    rows: int
    columns: int

    @abstractmethod
    def gather(self, ids: Tensor) -> Tensor:
        """Rows of W for ids (...,) int64: (..., columns) float32."""

    @abstractmethod
    def multiply(self, x: Tensor) -> Tensor:
        """``x @ W.T`` for x (..., columns): (..., rows) float32."""

    @abstractmethod
    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """Sums of rows: bag b adds rows ``ids[indptr[b]:indptr[b + 1]]``; (B, columns) float32."""

    @abstractmethod
    def dense(self) -> Tensor:
        """W as (rows, columns) float32."""

    @abstractmethod
    def form(self) -> Form:
        """What the matrix occupies now."""


class TrainableMatrix(Matrix):
    """Float32 values under training, with a mask where a sparsity set one.

    Attributes:
        weight: (rows, columns) parameter.
        mask: (rows, columns) float32 of 0 and 1, or None; multiplies the weight at every use.
    """

    mask: Tensor | None

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.weight = nn.Parameter(torch.empty(rows, columns))
        self.register_buffer("mask", None, persistent=False)

    def effective(self) -> Tensor:
        """The weight as it acts: (rows, columns)."""
        return self.weight if self.mask is None else self.weight * self.mask

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        # Its backward pass takes half the time of that of F.embedding.
        rows = self.weight.index_select(0, ids.reshape(-1)).reshape(*ids.shape, self.columns)
        return rows if self.mask is None else rows * F.embedding(ids, self.mask)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return F.linear(x, self.effective())

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return F.embedding_bag(ids, self.effective(), indptr[:-1], mode="sum")

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.effective().detach()

    def form(self) -> Form:
        """See `Matrix.form`."""
        return _leaf(self.rows, self.columns, self.rows * self.columns, "fp32")


class DenseMatrix(Matrix):
    """Stored dense values in floating point, or in integers with one float32 step per row."""

    values: Tensor
    scale: Tensor | None

    def __init__(
        self, values: Tensor, scale: Tensor | None = None, *, columns: int | None = None
    ) -> None:
        """Takes stored values.

        Args:
            values: (rows, columns); of four bits two a byte, (rows, ceil(columns / 2)).
            scale: (rows,) float32 steps of integers.
            columns: where values share bytes.
        """
        super().__init__()
        self.rows, self.columns = len(values), columns or values.shape[1]
        self.register_buffer("values", values)
        self.register_buffer("scale", scale)

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        rows = _numbers(F.embedding(ids, self.values), self.columns)
        return rows if self.scale is None else rows * self.scale[ids][..., None]

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        product = F.linear(x, _numbers(self.values, self.columns))
        return product if self.scale is None else product * self.scale

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        if self.values.dtype == torch.float32:
            return F.embedding_bag(ids, self.values, indptr[:-1], mode="sum")
        return _sum_bags(self.gather(ids), indptr)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        values = _numbers(self.values, self.columns)
        return values if self.scale is None else values * self.scale[:, None]

    def form(self) -> Form:
        """See `Matrix.form`."""
        return _leaf(self.rows, self.columns, self.rows * self.columns, _precision(self.values))


class SparseMatrix(Matrix):
    """Stored non-zero values, in row order; `places` says where they stand.

    The first use expands the places to a scipy matrix, which is kept: the artefact holds the small
    form, the memory both.

    Attributes:
        entries: number of values; of four bits two share a byte.
    """

    values: Tensor
    scale: Tensor | None

    def __init__(
        self, rows: int, columns: int, entries: int, values: Tensor, scale: Tensor | None
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.entries = rows, columns, entries
        self.register_buffer("values", values)
        self.register_buffer("scale", scale)
        self._expanded: sp.csr_matrix | None = None
        self._transposed: sp.csr_matrix | None = None

    @abstractmethod
    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Row pointers (rows + 1,) and column numbers (entries,), columns ascending in a row."""

    def expanded(self) -> sp.csr_matrix:
        """(rows, columns) float32 scipy matrix; computed once, do not change it."""
        if self._expanded is None:
            indptr, columns = self.places()
            values = _numbers(self.values, self.entries).numpy()
            if self.scale is not None:
                values = values * np.repeat(self.scale.numpy(), np.diff(indptr))
            shape = (self.rows, self.columns)
            self._expanded = sp.csr_matrix((values, columns, indptr), shape)
        return self._expanded

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        rows = self.expanded()[ids.reshape(-1).numpy()].toarray()
        return torch.from_numpy(rows).reshape(*ids.shape, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        if self._transposed is None:
            self._transposed = self.expanded().T.tocsr()
        product = x.reshape(-1, self.columns).numpy() @ self._transposed
        return torch.from_numpy(product).reshape(*x.shape[:-1], self.rows)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        ones = np.ones(len(ids), np.float32)
        bags = sp.csr_matrix((ones, ids.numpy(), indptr.numpy()), (len(indptr) - 1, self.rows))
        return torch.from_numpy((bags @ self.expanded()).toarray())

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return torch.from_numpy(self.expanded().toarray())

    def form(self) -> Form:
        """See `Matrix.form`."""
        return _leaf(self.rows, self.columns, self.entries, _precision(self.values))


class CsrMatrix(SparseMatrix):
    """Compressed sparse rows with the smallest index types that fit."""

    indptr: Tensor
    indices: Tensor

    def __init__(
        self,
        columns: int,
        indptr: Tensor,
        indices: Tensor,
        values: Tensor,
        scale: Tensor | None = None,
    ) -> None:
        entries = len(indices)
        super().__init__(len(indptr) - 1, columns, entries, values, scale)
        self.register_buffer("indptr", indptr.to(INDEX_TYPES[index_bytes(entries)]))
        self.register_buffer("indices", indices.to(INDEX_TYPES[index_bytes(columns - 1)]))

    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """See `SparseMatrix.places`."""
        return self.indptr.numpy().astype(np.int64), self.indices.numpy().astype(np.int32)


class BitmapMatrix(SparseMatrix):
    """Non-zero values and one bit for every place, row by row, eight to a byte."""

    bits: Tensor

    def __init__(
        self,
        rows: int,
        columns: int,
        bits: Tensor,
        values: Tensor,
        scale: Tensor | None = None,
        *,
        entries: int | None = None,
    ) -> None:
        """Takes stored values.

        Args:
            rows: of the matrix.
            columns: of the matrix.
            bits: (ceil(rows * columns / 8),) uint8.
            values: (entries,) in the order of the bits; of four bits two a byte.
            scale: (rows,) float32 steps of integers.
            entries: where values share bytes.
        """
        super().__init__(rows, columns, entries or len(values), values, scale)
        self.register_buffer("bits", bits)

    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """See `SparseMatrix.places`."""
        bits = np.unpackbits(self.bits.numpy(), count=self.rows * self.columns)
        places = sp.csr_matrix(bits.reshape(self.rows, self.columns))
        return places.indptr.astype(np.int64), places.indices.astype(np.int32)


class LowRankMatrix(Matrix):
    """The product ``left @ right.T`` of left (rows, rank) and right (columns, rank).

    Attributes:
        zero_diagonal: whether entry (i, i) counts as 0, as in item-item weights: an item must not
            recommend itself, and a product of factors has no zero diagonal of its own.
    """

    def __init__(self, left: Matrix, right: Matrix, *, zero_diagonal: bool = False) -> None:
        super().__init__()
        self.rows, self.columns = left.rows, right.rows
        self.left, self.right, self.zero_diagonal = left, right, zero_diagonal
        self._diagonal: Tensor | None = None

    @property
    def rank(self) -> int:
        """The inner width."""
        return self.left.columns

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        rows = self.right.multiply(self.left.gather(ids))
        if self.zero_diagonal:
            rows = rows.scatter(-1, ids[..., None], 0.0)
        return rows

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        inner = self._project(x)
        product = self.left.multiply(inner)
        return product - x * self._diagonal_values() if self.zero_diagonal else product

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        bags = self.right.multiply(self.left.bag(indptr, ids))
        if self.zero_diagonal:
            owners = torch.repeat_interleave(torch.arange(len(indptr) - 1), indptr.diff())
            bags.index_put_((owners, ids), -self._diagonal_values()[ids], accumulate=True)
        return bags

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        product = self.left.dense() @ self.right.dense().T
        return product.fill_diagonal_(0.0) if self.zero_diagonal else product

    def form(self) -> Form:
        """See `Matrix.form`."""
        return Product(self.left.form(), self.right.form())

    def _project(self, x: Tensor) -> Tensor:
        if isinstance(self.right, DenseMatrix) and self.right.values.dtype == torch.float32:
            return x @ self.right.values
        return x @ self.right.dense()

    def _diagonal_values(self) -> Tensor:
        if self._diagonal is None:
            self._diagonal = (self.left.dense() * self.right.dense()).sum(1)
        return self._diagonal


class CornerMatrix(Matrix):
    """A matrix that is 0 but for its top left corner, which alone is stored.

    Its form is that of the corner: zeros take no bytes and no operations.

    Attributes:
        corner: (R, C) with R <= rows and C <= columns.
    """

    def __init__(self, rows: int, columns: int, corner: Matrix) -> None:
        super().__init__()
        self.rows, self.columns, self.corner = rows, columns, corner

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        right, last = self.columns - self.corner.columns, self.corner.rows - 1
        if self.corner.rows == self.rows:
            return F.pad(self.corner.gather(ids), (0, right))
        return F.pad(self.corner.gather(ids.clamp(max=last)), (0, right)) * (ids <= last)[..., None]

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        product = self.corner.multiply(x[..., : self.corner.columns])
        return F.pad(product, (0, self.rows - self.corner.rows))

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        if self.corner.rows < self.rows:
            return _sum_bags(self.gather(ids), indptr)
        return F.pad(self.corner.bag(indptr, ids), (0, self.columns - self.corner.columns))

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        right, below = self.columns - self.corner.columns, self.rows - self.corner.rows
        return F.pad(self.corner.dense(), (0, right, 0, below))

    def form(self) -> Form:
        """See `Matrix.form`."""
        return self.corner.form()


class CodebookMatrix(Matrix):
    """Rows put together from words: part p of row i is that part of word ``codes[i, p]``.

    Attributes:
        codes: (rows, parts) of the smallest unsigned type.
        words: the codebook (K, columns), whose columns the parts share equally.
    """

    codes: Tensor

    def __init__(self, codes: Tensor, words: Matrix) -> None:
        super().__init__()
        self.rows, self.parts = codes.shape
        self.columns, self.words = words.columns, words
        self.register_buffer("codes", codes.to(INDEX_TYPES[index_bytes(words.rows - 1)]))

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        parts = self.words.dense().reshape(-1, self.columns // self.parts)  # (K * P, D / P)
        return F.embedding(self._places(self.codes[ids]), parts).reshape(*ids.shape, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`: of every word once, then a sum of parts a row."""
        shares = x.reshape(-1, self.parts, self.columns // self.parts)  # (B, P, D / P)
        words = self.words.dense().reshape(-1, *shares.shape[1:])  # (K, P, D / P)
        products = torch.einsum("bpd,kpd->kpb", shares, words).flatten(0, 1)  # (K * P, B)
        sums = F.embedding_bag(self._places(self.codes), products, mode="sum")  # (rows, B)
        return sums.T.reshape(*x.shape[:-1], self.rows)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return _sum_bags(self.gather(ids), indptr)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.gather(torch.arange(self.rows))

    def form(self) -> Form:
        """See `Matrix.form`."""
        rows = Interval(self.rows, self.rows)
        return Coded(rows, self.parts, cast("Leaf", self.words.form()))

    def _places(self, codes: Tensor) -> Tensor:
        """Where codes (..., P) stand among the parts of all words, word after word."""
        return codes.long() * self.parts + torch.arange(self.parts)


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
        return _sum_bags(self.gather(ids), indptr)

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


def store(matrix: Matrix) -> Matrix:
    """The matrix without training state: masks folded, parameters turned into stored values."""
    return DenseMatrix(matrix.dense().clone()) if isinstance(matrix, TrainableMatrix) else matrix


def cut(matrix: Matrix, rows: int, columns: int) -> Matrix:
    """The dense matrix with nothing left but the top left corner of so many rows and columns."""
    if (rows, columns) == (matrix.rows, matrix.columns):
        return matrix
    corner = DenseMatrix(matrix.dense()[:rows, :columns].clone())
    return CornerMatrix(matrix.rows, matrix.columns, corner)


def map_leaves(matrix: Matrix, change: Callable[[Matrix], Matrix]) -> Matrix:
    """The matrix with what it is made of changed: factors, corner, codebook, pieces, or itself."""
    if isinstance(matrix, CodebookMatrix):
        return CodebookMatrix(matrix.codes, map_leaves(matrix.words, change))
    if isinstance(matrix, BlockMatrix):
        pieces = map_leaves(matrix.pieces, change)
        return BlockMatrix(matrix.columns, matrix.number, matrix.blocks, matrix.places, pieces)
    if isinstance(matrix, CornerMatrix):
        return CornerMatrix(matrix.rows, matrix.columns, map_leaves(matrix.corner, change))
    if isinstance(matrix, LowRankMatrix):
        left, right = map_leaves(matrix.left, change), map_leaves(matrix.right, change)
        return LowRankMatrix(left, right, zero_diagonal=matrix.zero_diagonal)
    return change(matrix)


def keep(weight: Tensor, kept: Tensor) -> Matrix:
    """The entries of weight (rows, columns) where ``kept`` (bool) holds, in the cheapest layout.

    Entries that are kept stay stored even when they are 0, so that bytes follow from the number
    kept.
    """
    rows, columns = weight.shape
    entries = int(kept.sum())
    layout = cheapest_layout(rows, columns, entries, "fp32")
    if layout == "dense":
        return DenseMatrix(weight * kept)
    values = weight[kept].contiguous()
    if layout == "bitmap":
        return BitmapMatrix(rows, columns, _pack(kept), values)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), kept.sum(1).cumsum(0)])
    return CsrMatrix(columns, indptr, kept.nonzero()[:, 1], values)


def keep_shape(rows: int, columns: int, entries: int) -> Matrix:
    """What `keep` makes of so many entries, on the meta device."""
    layout = cheapest_layout(rows, columns, entries, "fp32")
    stored = rows * columns if layout == "dense" else entries
    sizes = {"rows": rows, "columns": columns, "entries": stored}
    return blank({"layout": layout, "precision": "fp32", **sizes})


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


def from_scipy(matrix: sp.csr_matrix) -> Matrix:
    """A scipy matrix in the cheapest layout; its explicit zeros are dropped."""
    matrix = matrix.copy()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    rows, columns = matrix.shape
    layout = cheapest_layout(rows, columns, matrix.nnz, "fp32")
    if layout == "csr":
        indptr = torch.from_numpy(matrix.indptr.astype(np.int64))
        indices = torch.from_numpy(matrix.indices.astype(np.int64))
        values = torch.from_numpy(matrix.data.astype(np.float32))
        return CsrMatrix(columns, indptr, indices, values)
    dense = torch.from_numpy(matrix.toarray().astype(np.float32))
    return keep(dense, dense != 0)


def quantise(matrix: Matrix, precision: Precision) -> Matrix:
    """The stored matrix with its values rounded to a precision.

    Integers of b bits are symmetric per row: step = largest absolute value / (2^(b-1) - 1), so the
    error of a value is at most half a step. A sparse matrix moves to whatever layout is cheapest
    at the new precision.

    Args:
        matrix: stored (not trainable) matrix in float32.
        precision: ``"fp32"`` returns the matrix itself.
    """
    if precision == "fp32":
        return matrix
    return map_leaves(matrix, lambda leaf: _quantise_leaf(leaf, precision))


def _quantise_leaf(leaf: Matrix, precision: Precision) -> Matrix:
    dense = leaf.dense()
    scale = None
    values = dense.half()
    if precision in LARGEST_INTEGER:
        largest = LARGEST_INTEGER[precision]
        scale = dense.abs().amax(1) / largest
        step = torch.where(scale > 0, scale, 1.0)
        values = (dense / step[:, None]).round().clamp(-largest, largest)
    if isinstance(leaf, DenseMatrix):
        return DenseMatrix(_stored(values, precision), scale, columns=leaf.columns)
    sparse = cast("SparseMatrix", leaf)
    indptr, columns = sparse.places()
    rows = np.repeat(np.arange(sparse.rows), np.diff(indptr))
    kept = values[rows, columns]
    return _sparse_layout(sparse, indptr, columns, kept, scale, precision)


def _sparse_layout(
    sparse: SparseMatrix,
    indptr: np.ndarray[Any, Any],
    columns: np.ndarray[Any, Any],
    values: Tensor,
    scale: Tensor | None,
    precision: Precision,
) -> Matrix:
    layout = cheapest_layout(sparse.rows, sparse.columns, len(values), precision)
    if layout == "csr":
        places = torch.from_numpy(indptr), torch.from_numpy(columns.astype(np.int64))
        return CsrMatrix(sparse.columns, *places, _stored(values, precision), scale)
    dense = torch.zeros(sparse.rows, sparse.columns, dtype=values.dtype)
    rows = np.repeat(np.arange(sparse.rows), np.diff(indptr))
    dense[rows, columns] = values
    if layout == "dense":
        return DenseMatrix(_stored(dense, precision), scale, columns=sparse.columns)
    kept = torch.zeros(dense.shape, dtype=torch.bool)
    kept[rows, columns] = True
    bits, entries = _pack(kept), len(values)
    values = _stored(values, precision)
    return BitmapMatrix(sparse.rows, sparse.columns, bits, values, scale, entries=entries)


def from_integers(values: Tensor, steps: Tensor, precision: Precision) -> DenseMatrix:
    """The dense matrix of integers (rows, columns) times steps (rows,), at an integer precision."""
    return DenseMatrix(_stored(values, precision), steps, columns=values.shape[1])


def describe(matrix: Matrix) -> dict[str, Any]:
    """The layout as plain data, from which `blank` makes a matrix of the same shape."""
    if isinstance(matrix, LowRankMatrix):
        factors = {"left": describe(matrix.left), "right": describe(matrix.right)}
        return {"layout": "low-rank", "zero_diagonal": matrix.zero_diagonal, **factors}
    if isinstance(matrix, CornerMatrix):
        sizes = {"rows": matrix.rows, "columns": matrix.columns}
        return {"layout": "corner", **sizes, "corner": describe(matrix.corner)}
    if isinstance(matrix, CodebookMatrix):
        sizes = {"rows": matrix.rows, "parts": matrix.parts}
        return {"layout": "codes", **sizes, "words": describe(matrix.words)}
    if isinstance(matrix, BlockMatrix):
        sizes = {"rows": matrix.rows, "columns": matrix.columns, "number": matrix.number}
        return {"layout": "blocks", **sizes, "pieces": describe(matrix.pieces)}
    stored = cast("DenseMatrix | SparseMatrix", matrix)
    layout = {DenseMatrix: "dense", CsrMatrix: "csr", BitmapMatrix: "bitmap"}[type(stored)]
    return {
        "layout": layout,
        "rows": stored.rows,
        "columns": stored.columns,
        "entries": int(cast("Leaf", stored.form()).entries.low),
        "precision": _precision(stored.values),
    }


def blank(description: dict[str, Any]) -> Matrix:
    """A matrix on the meta device with the layout and shapes of a description.

    Raises:
        KeyError: the description lacks a field or names no layout.
    """
    layout = description["layout"]
    if layout == "low-rank":
        left, right = blank(description["left"]), blank(description["right"])
        return LowRankMatrix(left, right, zero_diagonal=bool(description["zero_diagonal"]))
    if layout == "corner":
        sizes = int(description["rows"]), int(description["columns"])
        return CornerMatrix(*sizes, blank(description["corner"]))
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
            values = _stored(torch.empty(rows, columns), precision)
            return DenseMatrix(values, scale, columns=columns)
        values = _stored(torch.empty(entries), precision)
        if layout == "csr":
            indptr, indices = torch.empty(rows + 1), torch.empty(entries)
            return CsrMatrix(columns, indptr, indices, values, scale)
        if layout == "bitmap":
            bits = torch.empty(-(-rows * columns // 8), dtype=torch.uint8)
            return BitmapMatrix(rows, columns, bits, values, scale, entries=entries)
    raise KeyError(layout)


def _leaf(rows: int, columns: int, entries: int, precision: Precision) -> Leaf:
    sizes = [Interval(size, size) for size in (rows, columns, entries)]
    return Leaf(sizes[0], sizes[1], sizes[2], precision)


def _precision(values: Tensor) -> Precision:
    return next(name for name, dtype in VALUE_TYPES.items() if dtype == values.dtype)


def _stored(values: Tensor, precision: Precision) -> Tensor:
    """Rounded values (..., n) as they are stored: (..., n), or of four bits (..., ceil(n / 2))."""
    if precision != "int4":
        return values.to(VALUE_TYPES[precision]).contiguous()
    halves = F.pad(values.to(torch.int8), (0, values.shape[-1] % 2)) & 15
    return (halves[..., ::2] | halves[..., 1::2] << 4).view(torch.uint8)


def _numbers(stored: Tensor, count: int) -> Tensor:
    """Stored values of rows of so many as float32: (..., count)."""
    if stored.dtype != VALUE_TYPES["int4"]:
        return stored.float()
    halves = torch.stack([stored & 15, stored >> 4], -1).flatten(-2)[..., :count]
    return (halves.to(torch.int8) ^ 8).sub_(8).float()


def _ranks(blocks: Tensor, number: int) -> Tensor:
    """The place of each row among those of its block: (rows,) int64."""
    sizes = blocks.bincount(minlength=number)
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    ranks = torch.empty_like(blocks)
    ranks[blocks.argsort(stable=True)] = torch.arange(len(blocks)) - starts
    return ranks


def _pack(kept: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(kept.reshape(-1).numpy()))


def _sum_bags(rows: Tensor, indptr: Tensor) -> Tensor:
    owners = torch.repeat_interleave(torch.arange(len(indptr) - 1), indptr.diff())
    sums = torch.zeros(len(indptr) - 1, rows.shape[1])
    return sums.index_add_(0, owners, rows)
