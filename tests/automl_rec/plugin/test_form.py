import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.plugin import Either, Interval, Leaf, Pattern, Precision, Product, dense_form
from automl_rec.plugin.form import (
    bitmap_bytes,
    cheapest_layout,
    csr_bytes,
    dense_bytes,
    index_bits,
    layout_bytes,
    packed_bytes,
    pattern_bytes,
)

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int16", "int8", "int4")
sizes = st.tuples(st.integers(1, 60), st.integers(1, 400), st.floats(0, 1))


@pytest.mark.parametrize(
    ("rows", "columns", "entries", "precision", "dense", "csr", "bitmap"),
    [
        # csr: values + columns (1 byte up to 256) + 11 pointers of 1 or 2 bytes
        (10, 256, 100, "fp32", 10240, 400 + 100 + 11, 400 + 320),
        (10, 257, 100, "fp32", 10280, 400 + 200 + 11, 400 + 322),
        (10, 256, 256, "fp16", 5120, 512 + 256 + 22, 512 + 320),
        # int8 adds a step of 4 bytes a row
        (10, 256, 255, "int8", 2560 + 40, 255 + 255 + 11 + 40, 255 + 320 + 40),
        # two of four bits share a byte, of which a dense row begins a new one
        (10, 5, 7, "int4", 10 * 3 + 40, 4 + 7 + 11 + 40, 4 + 7 + 40),
        (10, 5, 7, "int16", 100 + 40, 14 + 7 + 11 + 40, 14 + 7 + 40),
    ],
)
def test_bytes_of_each_layout_by_hand(
    rows: int, columns: int, entries: int, precision: Precision, dense: int, csr: int, bitmap: int
) -> None:
    assert dense_bytes(rows, columns, precision) == dense
    assert csr_bytes(rows, columns, entries, precision) == csr
    assert bitmap_bytes(rows, columns, entries, precision) == bitmap
    assert layout_bytes(rows, columns, entries, precision) == min(dense, csr, bitmap)


def test_dense_wins_ties() -> None:
    # Nothing kept of one place: one byte dense, one byte of bits, each with a step of 4 bytes.
    assert dense_bytes(1, 1, "int8") == bitmap_bytes(1, 1, 0, "int8") == 5
    assert cheapest_layout(1, 1, 0, "int8") == "dense"


@given(sizes, st.sampled_from(PRECISIONS))
def test_bytes_never_fall_with_entries(size: tuple[int, int, float], kind: Precision) -> None:
    rows, columns, density = size
    entries = round(density * rows * columns)
    fewer = max(entries - 1, 0)
    assert layout_bytes(rows, columns, fewer, kind) <= layout_bytes(rows, columns, entries, kind)


def test_a_dense_layout_multiplies_its_zeros() -> None:
    leaf = dense_form(4, 5).kept(Interval(19, 19))
    assert leaf.bytes == Interval(79, 79)  # a bitmap: 76 + 3
    assert leaf.product_operations == Interval(19, 19)
    whole = dense_form(1, 5).kept(Interval(5, 5))
    assert whole.product_operations == Interval(5, 5)
    nearly = Leaf(Interval(4, 4), Interval(2, 2), Interval(7, 7), "int8")
    assert cheapest_layout(4, 2, 7, "int8") == "dense"
    assert nearly.product_operations == Interval(8, 8)


def test_a_product_adds_its_factors() -> None:
    product = Product(dense_form(100, 3), dense_form(50, 3))
    assert product.bytes == Interval(1800, 1800)
    assert product.product_operations == Interval(450, 450)
    assert product.row_operations == Interval(150, 150)
    assert [leaf.rows.low for leaf in product.leaves()] == [100, 50]


def test_one_of_two_forms_costs_between_the_two() -> None:
    dense = dense_form(100, 50)
    product = Product(dense_form(100, 3), dense_form(50, 3))
    either = Either(dense, product)
    assert either.bytes == Interval(1800, 20000)
    assert either.product_operations == Interval(450, 5000)
    assert either.row_operations == Interval(0, 150)
    halved = either.map_leaves(lambda leaf: leaf.kept(leaf.entries.times(0.5)))
    assert halved.product_operations == Interval(225, 2500)


def test_intervals_add_scale_and_join() -> None:
    assert Interval(1, 2) + Interval(3, 5) == Interval(4, 7)
    assert Interval(1, 2).times(3) == Interval(3, 6)
    assert Interval(1, 2).hull(Interval(0, 1)) == Interval(0, 2)


@pytest.mark.parametrize(
    ("rows", "columns", "entries", "precision", "packed"),
    [
        # 100 numbers of 8 bits for the columns, 11 pointers of 7 bits: 877 bits
        (10, 256, 100, "fp32", 400 + 110),
        # 6 columns of 3 bits and 5 pointers of 3 bits are 33 bits, a bitmap 32
        (4, 8, 6, "fp32", 24 + 4),
        # int8 steps stay 4 bytes each
        (10, 256, 255, "int8", 255 + 40 + 266),
        # a dense layout has no places
        (10, 256, 2560, "fp16", 5120),
    ],
)
def test_packed_bytes_by_hand(
    rows: int, columns: int, entries: int, precision: Precision, packed: int
) -> None:
    assert packed_bytes(rows, columns, entries, precision) == packed
    sizes = [Interval(size, size) for size in (rows, columns, entries)]
    leaf = Leaf(sizes[0], sizes[1], sizes[2], precision)
    assert leaf.packed_bytes == (packed, packed)
    assert Product(leaf, leaf).packed_bytes == (2 * packed, 2 * packed)
    assert Either(leaf, dense_form(1, 1)).packed_bytes == (4, packed)


@given(sizes, st.sampled_from(PRECISIONS))
def test_packed_bytes_bound_the_native_ones_and_never_fall(
    size: tuple[int, int, float], kind: Precision
) -> None:
    rows, columns, share = size
    entries = round(share * rows * columns)
    packed = packed_bytes(rows, columns, entries, kind)
    assert packed <= layout_bytes(rows, columns, entries, kind)
    assert packed <= packed_bytes(rows, columns, min(entries + 1, rows * columns), kind)


def test_a_number_of_values_takes_the_bits_that_tell_them_apart() -> None:
    assert [index_bits(count) for count in (1, 2, 3, 4, 5, 256, 257)] == [0, 1, 2, 2, 3, 8, 9]


@pytest.mark.parametrize(
    ("pattern", "ratio"),
    # bits of a group over the bits of its dense values, with its values: specification, section 1
    [((2, 4), 0.523), ((1, 8), 0.137), ((2, 8), 0.270), ((1, 16), 0.070)],
)
def test_patterns_take_a_known_share_of_the_dense_bytes(
    pattern: tuple[int, int], ratio: float
) -> None:
    leaf = dense_form(64, 256).follows(Pattern(*pattern))
    assert leaf.bytes.low / dense_form(64, 256).bytes.low == pytest.approx(ratio, abs=5e-4)
    assert cheapest_layout(64, 256, int(leaf.entries.low), "fp32", Pattern(*pattern)) == "pattern"


def test_pattern_bytes_by_hand() -> None:
    # 3 rows of 10: groups of 4, 4 and 2 keep 2 each; 9 numbers of 3 bits are 27 bits.
    assert Pattern(2, 4).entries(3, 10) == 18
    assert pattern_bytes(3, 10, "fp32", Pattern(2, 4)) == 72 + 4
    # Down 10 columns of 3 the last group of 1 keeps it; 20 numbers of 1 bit.
    assert Pattern(1, 2, down=True).entries(3, 10) == 20
    assert pattern_bytes(3, 10, "int8", Pattern(1, 2, down=True)) == 20 + 3 + 12
    assert dense_form(3, 10).follows(Pattern(2, 4)).packed_bytes == Interval(76, 76)
