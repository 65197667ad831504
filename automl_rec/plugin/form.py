"""Forms: what a matrix will occupy and cost, known from shapes before a weight exists."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

Precision: TypeAlias = Literal["fp32", "fp16", "int16", "int8", "int4"]
VALUE_BITS: dict[Precision, int] = {"fp32": 32, "fp16": 16, "int16": 16, "int8": 8, "int4": 4}
LARGEST_INTEGER: dict[Precision, int] = {"int16": 32767, "int8": 127, "int4": 7}
"""Of a precision in steps; its integers are symmetric around 0."""
SCALE_BYTES = 4
"""Bytes of the float32 step of one row of integers."""


class Interval(NamedTuple):
    """A number that shapes decide (low == high) or that training will (low < high)."""

    low: float
    high: float

    def __add__(self, other: object) -> "Interval":
        if not isinstance(other, Interval):
            return NotImplemented
        return Interval(self.low + other.low, self.high + other.high)

    def hull(self, other: "Interval") -> "Interval":
        """The smallest interval that holds both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def times(self, factor: float) -> "Interval":
        """The interval scaled by a factor >= 0."""
        return Interval(self.low * factor, self.high * factor)


ZERO = Interval(0, 0)


def index_bytes(largest: int) -> int:
    """Bytes of the smallest unsigned integer that holds ``largest``: 1, 2 or 4."""
    return 1 if largest < 2**8 else 2 if largest < 2**16 else 4


def value_bytes(count: int, precision: Precision) -> int:
    """Bytes of so many values side by side; two of four bits share a byte."""
    return -(-count * VALUE_BITS[precision] // 8)


def dense_bytes(rows: int, columns: int, precision: Precision) -> int:
    """Bytes of a dense layout, steps of integer rows included; a row begins with a new byte."""
    return rows * value_bytes(columns, precision) + scale_bytes(rows, precision)


def csr_bytes(rows: int, columns: int, entries: int, precision: Precision) -> int:
    """Bytes of compressed sparse rows: values, smallest column numbers, smallest row pointers."""
    pointers = (rows + 1) * index_bytes(entries)
    values = value_bytes(entries, precision) + entries * index_bytes(columns - 1)
    return values + pointers + scale_bytes(rows, precision)


def bitmap_bytes(rows: int, columns: int, entries: int, precision: Precision) -> int:
    """Bytes of the kept values and one bit for every place."""
    values = value_bytes(entries, precision)
    return values + -(-rows * columns // 8) + scale_bytes(rows, precision)


def scale_bytes(rows: int, precision: Precision) -> int:
    """Bytes of the steps of integer rows, 0 for floating point."""
    return rows * SCALE_BYTES if precision in LARGEST_INTEGER else 0


class Pattern(NamedTuple):
    """So many entries of every group that stand side by side.

    A last group that is narrower keeps as many, or all it has.

    Attributes:
        kept: entries N that stay of a group.
        of: entries M of a group.
        down: whether groups run down the columns; else along the rows.
    """

    kept: int
    of: int
    down: bool = False

    def groups(self, rows: int, columns: int) -> int:
        """Groups of a matrix."""
        lines, length = (columns, rows) if self.down else (rows, columns)
        return lines * -(-length // self.of)

    def entries(self, rows: int, columns: int) -> int:
        """Entries that stay of a matrix."""
        lines, length = (columns, rows) if self.down else (rows, columns)
        whole, rest = divmod(length, self.of)
        return lines * (whole * min(self.kept, self.of) + min(self.kept, rest))

    @property
    def bits(self) -> int:
        """Bits that tell which entries of a group stay."""
        return index_bits(math.comb(self.of, self.kept))


def pattern_bytes(rows: int, columns: int, precision: Precision, pattern: Pattern) -> int:
    """Bytes of the kept values and of the bits of every group, side by side."""
    codes = -(-pattern.groups(rows, columns) * pattern.bits // 8)
    values = value_bytes(pattern.entries(rows, columns), precision)
    return values + codes + scale_bytes(rows, precision)


SparseLayout: TypeAlias = Literal["dense", "csr", "bitmap", "pattern"]


def cheapest_layout(
    rows: int, columns: int, entries: int, precision: Precision, pattern: Pattern | None = None
) -> SparseLayout:
    """The layout with the fewest bytes; the first of dense, csr, bitmap, pattern where they tie.

    What is full is dense, even where rows of four bits that begin with a new byte cost more.

    Args:
        rows: of the matrix.
        columns: of the matrix.
        entries: values kept.
        precision: of a value.
        pattern: what the places of the values follow, if they do.
    """
    if entries == rows * columns:
        return "dense"
    prices = _prices(rows, columns, entries, precision, pattern)
    return min(prices, key=lambda layout: prices[layout])


def layout_bytes(
    rows: int, columns: int, entries: int, precision: Precision, pattern: Pattern | None = None
) -> int:
    """Bytes in the cheapest layout; see `cheapest_layout`."""
    layout = cheapest_layout(rows, columns, entries, precision, pattern)
    return _prices(rows, columns, entries, precision, pattern)[layout]


def packed_bytes(
    rows: int, columns: int, entries: int, precision: Precision, pattern: Pattern | None = None
) -> int:
    """Bytes of the cheapest layout if places took the bits they need, and no byte more.

    Places of a sparse layout are column numbers and row pointers of ceil(log2) bits, a bitmap or
    the bits of groups, where that is less.
    """
    layout = cheapest_layout(rows, columns, entries, precision, pattern)
    if layout == "dense":
        return dense_bytes(rows, columns, precision)
    numbers = entries * index_bits(columns) + (rows + 1) * index_bits(entries + 1)
    places = min(numbers, rows * columns)
    if pattern is not None:
        places = min(places, pattern.groups(rows, columns) * pattern.bits)
    return value_bytes(entries, precision) + scale_bytes(rows, precision) + -(-places // 8)


def _prices(
    rows: int, columns: int, entries: int, precision: Precision, pattern: Pattern | None
) -> dict[SparseLayout, int]:
    prices: dict[SparseLayout, int] = {
        "dense": dense_bytes(rows, columns, precision),
        "csr": csr_bytes(rows, columns, entries, precision),
        "bitmap": bitmap_bytes(rows, columns, entries, precision),
    }
    if pattern is not None:
        prices["pattern"] = pattern_bytes(rows, columns, precision, pattern)
    return prices


def index_bits(different: int) -> int:
    """Bits that tell so many values apart: ceil(log2)."""
    return max(different - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class Leaf:
    """The form of one stored matrix (rows, columns).

    Attributes:
        rows: number of rows.
        columns: number of columns; the low end where training decides it.
        entries: values kept; ``rows * columns`` when dense.
        precision: how a value is stored.
        pattern: what the places of the values follow, if they do.
    """

    rows: Interval
    columns: Interval
    entries: Interval
    precision: Precision = "fp32"
    pattern: Pattern | None = None

    @property
    def bytes(self) -> Interval:
        """Native bytes in the cheapest layout."""
        return Interval(*(self._bytes(end) for end in (0, 1)))

    @property
    def packed_bytes(self) -> Interval:
        """Bytes if places took the bits they need; see `packed_bytes`."""
        return Interval(*(packed_bytes(*self._described(end)) for end in (0, 1)))

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product; a dense layout multiplies zeros too."""
        return Interval(*(self._multiplied(end) for end in (0, 1)))

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to read one row: none."""
        return ZERO

    def map_leaves(self, change: Callable[["Leaf"], "Leaf"]) -> "Form":
        """The form with every leaf changed."""
        return change(self)

    def leaves(self) -> tuple["Leaf", ...]:
        """The stored matrices of the form."""
        return (self,)

    def kept(self, entries: Interval) -> "Leaf":
        """The leaf with that many entries left, anywhere."""
        return replace(self, entries=entries, pattern=None)

    def follows(self, pattern: Pattern) -> "Leaf":
        """The leaf with the entries of a pattern left."""
        ends = [pattern.entries(int(self.rows[end]), int(self.columns[end])) for end in (0, 1)]
        return replace(self, entries=Interval(*ends), pattern=pattern)

    def _bytes(self, end: int) -> int:
        return layout_bytes(*self._described(end))

    def _multiplied(self, end: int) -> int:
        rows, columns, entries, *_ = self._described(end)
        return rows * columns if cheapest_layout(*self._described(end)) == "dense" else entries

    def _described(self, end: int) -> tuple[int, int, int, Precision, Pattern | None]:
        sizes = int(self.rows[end]), int(self.columns[end]), int(self.entries[end])
        return *sizes, self.precision, self.pattern


@dataclass(frozen=True, slots=True)
class Product:
    """The form of ``left @ right.T``: left (rows, rank), right (columns, rank)."""

    left: "Form"
    right: "Form"

    @property
    def bytes(self) -> Interval:
        """Native bytes of both factors."""
        return self.left.bytes + self.right.bytes

    @property
    def packed_bytes(self) -> Interval:
        """Bytes of both factors if places took the bits they need."""
        return self.left.packed_bytes + self.right.packed_bytes

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product."""
        return self.left.product_operations + self.right.product_operations

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to compute one row."""
        return self.left.row_operations + self.right.product_operations

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with every leaf changed."""
        return Product(self.left.map_leaves(change), self.right.map_leaves(change))

    def leaves(self) -> tuple[Leaf, ...]:
        """The stored matrices of the form."""
        return self.left.leaves() + self.right.leaves()


@dataclass(frozen=True, slots=True)
class Sum:
    """The form of a sum of two matrices."""

    first: "Form"
    second: "Form"

    @property
    def bytes(self) -> Interval:
        """Native bytes of both."""
        return self.first.bytes + self.second.bytes

    @property
    def packed_bytes(self) -> Interval:
        """Bytes of both if places took the bits they need."""
        return self.first.packed_bytes + self.second.packed_bytes

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product."""
        return self.first.product_operations + self.second.product_operations

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to compute one row."""
        return self.first.row_operations + self.second.row_operations

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with every leaf of both changed."""
        return Sum(self.first.map_leaves(change), self.second.map_leaves(change))

    def leaves(self) -> tuple[Leaf, ...]:
        """The stored matrices of both."""
        return self.first.leaves() + self.second.leaves()


@dataclass(frozen=True, slots=True)
class Either:
    """One of two forms; which one, values will decide."""

    first: "Form"
    second: "Form"

    @property
    def bytes(self) -> Interval:
        """Native bytes of the one or the other."""
        return self.first.bytes.hull(self.second.bytes)

    @property
    def packed_bytes(self) -> Interval:
        """Bytes of the one or the other if places took the bits they need."""
        return self.first.packed_bytes.hull(self.second.packed_bytes)

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product."""
        return self.first.product_operations.hull(self.second.product_operations)

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to compute one row."""
        return self.first.row_operations.hull(self.second.row_operations)

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with every leaf of both changed."""
        return Either(self.first.map_leaves(change), self.second.map_leaves(change))

    def leaves(self) -> tuple[Leaf, ...]:
        """The stored matrices of both forms."""
        return self.first.leaves() + self.second.leaves()


@dataclass(frozen=True, slots=True)
class Coded:
    """The form of rows that are put together from the words of a codebook, part by part.

    Attributes:
        rows: number of rows.
        parts: parts of a row; each names a word by a code of the smallest unsigned type.
        words: form of the codebook (K, columns), in which part p has its own share of columns.
    """

    rows: Interval
    parts: int
    words: Leaf

    @property
    def bytes(self) -> Interval:
        """Native bytes of codes and codebook."""
        codes = self.rows.times(self.parts * index_bytes(self._largest_code))
        return codes + self.words.bytes

    @property
    def packed_bytes(self) -> Interval:
        """Bytes if codes took the bits they need."""
        bits = self.rows.times(self.parts * index_bits(self._largest_code + 1))
        return Interval(-(-bits.low // 8), -(-bits.high // 8)) + self.words.packed_bytes

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product: every word once, then a sum a row."""
        return self.words.product_operations + self.rows.times(self.parts)

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to read one row: none."""
        return ZERO

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with the codebook changed."""
        return Coded(self.rows, self.parts, change(self.words))

    def leaves(self) -> tuple[Leaf, ...]:
        """The codebook."""
        return (self.words,)

    @property
    def _largest_code(self) -> int:
        return int(self.words.rows.high) - 1


@dataclass(frozen=True, slots=True)
class Blocks:
    """The form of rows in blocks, each of which has some of the columns.

    Attributes:
        rows: number of rows; each names its block by the smallest unsigned type.
        columns: number of columns.
        blocks: number of blocks.
        pieces: form of what is stored, a row for each column of a block.
    """

    rows: Interval
    columns: int
    blocks: int
    pieces: Leaf

    @property
    def bytes(self) -> Interval:
        """Native bytes of the pieces, the rows' blocks and the blocks' columns."""
        named = self.rows.times(index_bytes(self.blocks - 1))
        return named + self.pieces.rows.times(index_bytes(self._places - 1)) + self.pieces.bytes

    @property
    def packed_bytes(self) -> Interval:
        """Bytes if blocks and columns took the bits they need."""
        bits = self.rows.times(index_bits(self.blocks))
        bits += self.pieces.rows.times(index_bits(self._places))
        return Interval(-(-bits.low // 8), -(-bits.high // 8)) + self.pieces.packed_bytes

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product."""
        return self.pieces.product_operations

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to read one row: none."""
        return ZERO

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with the pieces changed."""
        return replace(self, pieces=change(self.pieces))

    def leaves(self) -> tuple[Leaf, ...]:
        """The pieces."""
        return (self.pieces,)

    @property
    def _places(self) -> int:
        return self.blocks * self.columns


@dataclass(frozen=True, slots=True)
class Part:
    """The form of a matrix of which only some rows and columns are not 0.

    Attributes:
        rows: number of all rows.
        columns: number of all columns.
        kept: form of what is stored; its rows and columns are named by the smallest unsigned type,
            unless there are all of them.
    """

    rows: Interval
    columns: int
    kept: Leaf

    @property
    def bytes(self) -> Interval:
        """Native bytes of what is stored, with the numbers of its rows and columns."""
        numbers = self._named(self.kept.rows, self.rows, index_bytes(int(self.rows.high) - 1))
        numbers += self._named(self.kept.columns, self._all_columns, index_bytes(self.columns - 1))
        return numbers + self.kept.bytes

    @property
    def packed_bytes(self) -> Interval:
        """Bytes if the numbers took the bits they need."""
        bits = self._named(self.kept.rows, self.rows, index_bits(int(self.rows.high)))
        bits += self._named(self.kept.columns, self._all_columns, index_bits(self.columns))
        return Interval(-(-bits.low // 8), -(-bits.high // 8)) + self.kept.packed_bytes

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product."""
        return self.kept.product_operations

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to read one row: none."""
        return ZERO

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with what is stored changed."""
        return replace(self, kept=change(self.kept))

    def leaves(self) -> tuple[Leaf, ...]:
        """What is stored."""
        return (self.kept,)

    @property
    def _all_columns(self) -> Interval:
        return Interval(self.columns, self.columns)

    def _named(self, kept: Interval, whole: Interval, size: int) -> Interval:
        """Size of the numbers of what is kept; those of everything need none."""
        return ZERO if kept == whole else kept.times(size)


@dataclass(frozen=True, slots=True)
class Tiled:
    """The form of a matrix of which only some squares of entries, its tiles, are not 0.

    Attributes:
        rows: number of rows.
        columns: number of columns.
        side: rows and columns of a tile; those that reach over an edge are stored whole.
        tiles: form of what is stored, a row a tile.
    """

    rows: Interval
    columns: Interval
    side: int
    tiles: Leaf

    @property
    def bytes(self) -> Interval:
        """Native bytes of the tiles, of their columns and of where each row of tiles begins."""
        return Interval(*(self._places_bytes(end) for end in (0, 1))) + self.tiles.bytes

    @property
    def packed_bytes(self) -> Interval:
        """Bytes if these numbers took the bits they need, or one bit a place for a tile."""
        return Interval(*(self._packed_places(end) for end in (0, 1))) + self.tiles.packed_bytes

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product."""
        return self.tiles.product_operations

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to read one row: none."""
        return ZERO

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with the tiles changed."""
        return replace(self, tiles=change(self.tiles))

    def leaves(self) -> tuple[Leaf, ...]:
        """The tiles."""
        return (self.tiles,)

    def _places_bytes(self, end: int) -> int:
        kept, down, across = self._counts(end)
        return kept * index_bytes(across - 1) + (down + 1) * index_bytes(kept)

    def _packed_places(self, end: int) -> int:
        kept, down, across = self._counts(end)
        bits = kept * index_bits(across) + (down + 1) * index_bits(kept + 1)
        return -(-min(bits, down * across) // 8)

    def _counts(self, end: int) -> tuple[int, int, int]:
        """Tiles that are kept, and rows and columns of all tiles."""
        down, across = (-(-int(size[end]) // self.side) for size in (self.rows, self.columns))
        return int(self.tiles.rows[end]), down, across


@dataclass(frozen=True, slots=True)
class Grid:
    """The form of a grid of blocks, each a product of narrow factors.

    Attributes:
        down: form of what reads the columns, (pieces * blocks * rank, width of a piece).
        up: form of what gives the rows, (blocks * height of a block, pieces * rank).
        blocks: of rows.
    """

    down: "Form"
    up: "Form"
    blocks: int

    @property
    def bytes(self) -> Interval:
        """Native bytes of both."""
        return self.down.bytes + self.up.bytes

    @property
    def packed_bytes(self) -> Interval:
        """Bytes of both if places took the bits they need."""
        return self.down.packed_bytes + self.up.packed_bytes

    @property
    def product_operations(self) -> Interval:
        """Multiply-adds of one matrix-vector product."""
        return self.down.product_operations + self.up.product_operations

    @property
    def row_operations(self) -> Interval:
        """Multiply-adds to compute one row: its block of all pieces."""
        return self.down.product_operations.times(1 / self.blocks)

    def map_leaves(self, change: Callable[[Leaf], Leaf]) -> "Form":
        """The form with both changed."""
        return Grid(self.down.map_leaves(change), self.up.map_leaves(change), self.blocks)

    def leaves(self) -> tuple[Leaf, ...]:
        """The stored matrices of both."""
        return self.down.leaves() + self.up.leaves()


Form: TypeAlias = Leaf | Product | Sum | Either | Coded | Blocks | Part | Tiled | Grid


def leaf_form(rows: int, columns: int, entries: int, precision: Precision) -> Leaf:
    """The form of a matrix with so many entries."""
    sizes = [Interval(size, size) for size in (rows, columns, entries)]
    return Leaf(sizes[0], sizes[1], sizes[2], precision)


def dense_form(rows: int, columns: int) -> Leaf:
    """The form of a dense float32 matrix."""
    return leaf_form(rows, columns, rows * columns, "fp32")


def tiled_form(rows: int, columns: int, side: int, kept: int) -> Form:
    """The form of a matrix of which so many tiles are kept: as such, or dense if that is less."""
    whole = dense_form(rows, columns)
    sizes = Interval(rows, rows), Interval(columns, columns)
    tiled = Tiled(*sizes, side, dense_form(kept, side * side))
    return tiled if tiled.bytes.low < whole.bytes.low else whole


def part_form(rows: int, columns: int, kept_rows: int, kept_columns: int) -> Form:
    """The form of a dense matrix of which so many rows and columns are kept."""
    kept = dense_form(kept_rows, kept_columns)
    if (kept_rows, kept_columns) == (rows, columns):
        return kept
    return Part(Interval(rows, rows), columns, kept)


def blocks_form(rows: int, columns: int, blocks: int, kept: int) -> Blocks:
    """The form of rows in blocks of equal count, with so many columns of all blocks kept."""
    pieces = dense_form(kept, -(-rows // blocks))
    return Blocks(Interval(rows, rows), columns, blocks, pieces)
