from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec.plugin import (
    LARGEST_INTEGER,
    CodebookMatrix,
    CornerMatrix,
    CsrMatrix,
    DenseMatrix,
    LowRankMatrix,
    Matrix,
    Pattern,
    Precision,
    Sum,
    SumMatrix,
    TrainableMatrix,
    WatchedMatrix,
    blocks_form,
    dense_form,
    from_integers,
    grouped,
    in_blocks,
    in_blocks_shape,
    in_tiles,
    keep,
    keep_shape,
    leaves,
    map_leaves,
    part,
    part_form,
    quantise,
    spread_tiles,
    tiled_form,
    ungrouped,
)
from automl_rec.plugin.matrices.corner import cut
from automl_rec.plugin.matrices.describing import blank, describe
from automl_rec.plugin.matrices.keeping import from_scipy

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int16", "int8", "int4")


@st.composite
def pruned(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Values (N, D) and which of them are kept; some kept ones are 0."""
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    seed, density = draw(st.integers(0, 10**6)), draw(st.floats(0, 1))
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, columns, generator=generator)
    values[torch.rand(rows, columns, generator=generator) < 0.1] = 0.0
    return values, torch.rand(rows, columns, generator=generator) < density


def stored_bytes(matrix: Matrix) -> int:
    return sum(tensor.nbytes for tensor in matrix.state_dict().values())


def assert_acts_as(matrix: Matrix, dense: Tensor, atol: float = 1e-5) -> None:
    """Every way of reading the matrix agrees with dense arithmetic."""
    rows, columns = dense.shape
    generator = torch.Generator().manual_seed(0)
    assert (matrix.rows, matrix.columns) == (rows, columns)
    assert torch.allclose(matrix.dense(), dense, atol=atol)
    for shape in ((4,), (2, 3), (0,)):
        ids = torch.randint(rows, shape, generator=generator)
        assert torch.allclose(matrix.gather(ids), dense[ids], atol=atol)
        x = torch.randn(*shape, columns, generator=generator)
        assert torch.allclose(matrix.multiply(x), x @ dense.T, atol=10 * atol)
    ids = torch.randint(rows, (7,), generator=generator)
    indptr = torch.tensor([0, 3, 3, 7])  # the second bag is empty
    bags = torch.stack([dense[ids[:3]].sum(0), torch.zeros(columns), dense[ids[3:]].sum(0)])
    assert torch.allclose(matrix.bag(indptr, ids), bags, atol=10 * atol)


@given(pruned(), st.sampled_from(PRECISIONS))
def test_every_layout_agrees_with_dense_arithmetic_and_its_form(
    case: tuple[Tensor, Tensor], precision: Precision
) -> None:
    values, kept = case
    matrix = quantise(keep(values, kept), precision)
    assert_acts_as(matrix, matrix.dense())
    assert matrix.form().bytes.low == matrix.form().bytes.high == stored_bytes(matrix)


@given(pruned())
def test_keeping_keeps_values_and_nothing_else(case: tuple[Tensor, Tensor]) -> None:
    values, kept = case
    matrix = keep(values, kept)
    assert torch.equal(matrix.dense(), torch.where(kept, values, 0.0))
    if not isinstance(matrix, DenseMatrix):
        assert matrix.form().leaves()[0].entries.low == kept.sum(), "kept zeros stay stored"


@given(pruned())
def test_the_shape_of_what_is_kept_is_known_from_the_number_of_entries(
    case: tuple[Tensor, Tensor],
) -> None:
    weight, kept = case
    made = keep(weight, kept).state_dict()
    rows, columns = weight.shape
    shaped = keep_shape(rows, columns, int(kept.sum())).state_dict()
    assert all(tensor.is_meta for tensor in shaped.values())
    assert [(n, t.shape, t.dtype) for n, t in made.items()] == [
        (n, t.shape, t.dtype) for n, t in shaped.items()
    ]


@given(pruned(), st.sampled_from([("int16", 32767), ("int8", 127), ("int4", 7)]))
def test_integers_err_by_half_a_step_at_most(
    case: tuple[Tensor, Tensor], integers: tuple[Precision, int]
) -> None:
    values, kept = case
    precision, largest = integers
    matrix = keep(values, kept)
    step = matrix.dense().abs().amax(1, keepdim=True) / largest
    error = (quantise(matrix, precision).dense() - matrix.dense()).abs()
    assert (error <= step * (0.5 + 1e-6 * largest)).all()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_integers_of_four_bits_share_bytes_and_come_back(
    rows: int, columns: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-7, 8, (rows, columns), generator=generator)
    steps = torch.rand(rows, generator=generator) + 0.1
    matrix = from_integers(values, steps, "int4")
    assert matrix.values.shape == (rows, (columns + 1) // 2)
    assert torch.equal(matrix.dense(), values * steps[:, None])


def test_four_bits_are_stored_low_half_first() -> None:
    matrix = from_integers(torch.tensor([[1, -1, 7]]), torch.ones(1), "int4")
    assert matrix.values.tolist() == [[0xF1, 0x07]]


@given(st.data(), st.sampled_from(PRECISIONS))
def test_rows_of_words_agree_with_dense_arithmetic_and_their_form(
    data: st.DataObject, precision: Precision
) -> None:
    rows, words, parts, share = (data.draw(st.integers(1, top)) for top in (12, 300, 4, 5))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    codebook = DenseMatrix(torch.randn(words, parts * share, generator=generator))
    codes = torch.randint(words, (rows, parts), generator=generator)
    matrix = quantise(CodebookMatrix(codes, codebook), precision)
    assert isinstance(matrix, CodebookMatrix)
    shares = matrix.words.dense().reshape(words, parts, share)
    dense = torch.stack(
        [torch.cat([shares[code, part] for part, code in enumerate(row)]) for row in codes.tolist()]
    )
    assert_acts_as(matrix, dense)
    assert matrix.form().bytes.low == matrix.form().bytes.high == stored_bytes(matrix)
    again = blank(describe(matrix))
    again.load_state_dict(matrix.state_dict(), assign=True)
    assert torch.equal(again.dense(), dense)
    assert again.form() == matrix.form()


def test_the_bytes_of_codes_and_words_by_hand() -> None:
    few = CodebookMatrix(torch.zeros(100, 4), DenseMatrix(torch.zeros(64, 8)))
    many = CodebookMatrix(torch.zeros(100, 4), DenseMatrix(torch.zeros(257, 8)))
    assert few.form().bytes.low == 100 * 4 + 64 * 8 * 4
    assert few.form().packed_bytes.low == 100 * 4 * 6 / 8 + 64 * 8 * 4
    assert many.form().bytes.low == 100 * 4 * 2 + 257 * 8 * 4
    assert few.form().product_operations.low == 64 * 8 + 100 * 4


@given(pruned(), st.sampled_from(PRECISIONS))
def test_a_description_makes_a_matrix_that_takes_the_tensors(
    case: tuple[Tensor, Tensor], precision: Precision
) -> None:
    matrix = quantise(keep(*case), precision)
    again = blank(describe(matrix))
    again.load_state_dict(matrix.state_dict(), assign=True)
    assert torch.equal(again.dense(), matrix.dense())
    assert again.form() == matrix.form()


def test_a_sparse_matrix_moves_to_what_is_cheapest_at_its_new_precision() -> None:
    values = torch.arange(1.0, 321.0).reshape(10, 32)
    kept = torch.zeros(10, 32, dtype=torch.bool)
    kept[:, :30] = True
    assert type(keep(values, kept)).__name__ == "BitmapMatrix"
    assert isinstance(quantise(keep(values, kept), "int8"), DenseMatrix)


def test_a_row_of_zeros_survives_int8() -> None:
    values = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    matrix = quantise(DenseMatrix(values), "int8")
    assert torch.allclose(matrix.dense(), values, atol=1 / 127)
    assert matrix.dense()[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_product_of_factors_agrees_with_dense_arithmetic(
    *, zero_diagonal: bool, precision: Precision
) -> None:
    generator = torch.Generator().manual_seed(2)
    left, right = torch.randn(9, 3, generator=generator), torch.randn(9, 3, generator=generator)
    factors = [quantise(DenseMatrix(factor), precision) for factor in (left, right)]
    dense = factors[0].dense() @ factors[1].dense().T
    if zero_diagonal:
        dense = dense.fill_diagonal_(0.0)
    matrix = LowRankMatrix(factors[0], factors[1], zero_diagonal=zero_diagonal)
    assert_acts_as(matrix, dense)
    assert matrix.rank == 3
    assert matrix.form().bytes.low == stored_bytes(matrix)
    again = blank(describe(matrix))
    again.load_state_dict(matrix.state_dict(), assign=True)
    assert torch.equal(again.dense(), matrix.dense())


def test_pruned_factors_stay_a_product() -> None:
    generator = torch.Generator().manual_seed(3)
    product = LowRankMatrix(
        DenseMatrix(torch.randn(20, 4, generator=generator)),
        DenseMatrix(torch.randn(10, 4, generator=generator)),
    )

    def halved(leaf: Matrix) -> Matrix:
        return keep(leaf.dense(), leaf.dense() > 0)

    matrix = map_leaves(product, halved)
    assert isinstance(matrix, LowRankMatrix)
    expected = product.left.dense().clamp(min=0) @ product.right.dense().clamp(min=0).T
    assert_acts_as(matrix, expected)


def test_a_mask_acts_on_every_reading_and_stops_gradients() -> None:
    matrix = TrainableMatrix(5, 3)
    with torch.no_grad():
        matrix.weight.copy_(torch.arange(15.0).reshape(5, 3))
    matrix.mask = (torch.arange(15).reshape(5, 3) % 2).float()
    dense = torch.arange(15.0).reshape(5, 3) * matrix.mask
    assert_acts_as(matrix, dense)
    (matrix.multiply(torch.ones(3)).sum() + matrix.gather(torch.tensor([0, 4])).sum()).backward()
    gradient = matrix.weight.grad
    assert gradient is not None
    assert torch.equal(gradient != 0, matrix.mask != 0)
    assert torch.equal(matrix.stored().dense(), dense)


def test_a_stored_matrix_no_longer_follows_the_parameter() -> None:
    matrix = TrainableMatrix(2, 2)
    with torch.no_grad():
        matrix.weight.fill_(1.0)
        stored = matrix.stored()
        matrix.weight.fill_(2.0)
    assert torch.equal(stored.dense(), torch.ones(2, 2))


def test_a_scipy_matrix_drops_explicit_zeros_and_sorts_its_columns() -> None:
    data, columns, indptr = np.array([2.0, 0.0, 1.0]), np.array([300, 5, 7]), np.array([0, 3, 3])
    source = sp.csr_matrix((data, columns, indptr), (2, 400))
    matrix = from_scipy(source)
    assert isinstance(matrix, CsrMatrix)
    assert matrix.indices.tolist() == [7, 300]
    assert matrix.indices.dtype == torch.uint16
    assert matrix.indptr.dtype == torch.uint8
    assert source.nnz == 3, "the source is left alone"


def test_a_description_without_a_known_layout_is_refused() -> None:
    with pytest.raises(KeyError, match="spiral"):
        blank({"layout": "spiral", "rows": 1, "columns": 1, "entries": 1, "precision": "fp32"})


@st.composite
def corners(draw: st.DrawFn) -> tuple[Tensor, int, int]:
    """Values (N, D) that are 0 outside of a corner, and the corner's sizes."""
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kept = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    values = torch.zeros(rows, columns)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    values[: kept[0], : kept[1]] = torch.randn(kept, generator=generator)
    return values, *kept


@given(corners(), st.sampled_from(PRECISIONS))
def test_a_corner_agrees_with_dense_arithmetic_and_its_form(
    case: tuple[Tensor, int, int], precision: Precision
) -> None:
    values, rows, columns = case
    matrix = quantise(cut(DenseMatrix(values), rows, columns), precision)
    assert_acts_as(matrix, matrix.dense())
    error = {"int4": 0.5}.get(precision, 2e-2)
    assert torch.allclose(matrix.dense(), values, atol=error)
    assert matrix.form().bytes.low == matrix.form().bytes.high == stored_bytes(matrix)


@given(corners(), st.sampled_from(PRECISIONS))
def test_a_corner_comes_back_from_its_description(
    case: tuple[Tensor, int, int], precision: Precision
) -> None:
    matrix = quantise(cut(DenseMatrix(case[0]), *case[1:]), precision)
    again = blank(describe(matrix))
    again.load_state_dict(matrix.state_dict(), assign=True)
    assert torch.equal(again.dense(), matrix.dense())
    assert again.form() == matrix.form()


def test_a_corner_takes_the_bytes_of_its_values_alone() -> None:
    matrix = cut(DenseMatrix(torch.ones(10, 8)), 10, 2)
    assert isinstance(matrix, CornerMatrix)
    assert stored_bytes(matrix) == 10 * 2 * 4
    assert stored_bytes(quantise(matrix, "int8")) == 10 * 2 + 10 * 4
    assert matrix.form().product_operations.low == 10 * 2


def test_a_corner_that_is_the_whole_stays_as_it_is() -> None:
    matrix = DenseMatrix(torch.ones(3, 4))
    assert cut(matrix, 3, 4) is matrix


def test_a_corner_is_changed_and_the_zeros_around_it_stay() -> None:
    matrix = cut(DenseMatrix(torch.ones(4, 4)), 3, 2)
    kept = torch.tensor([[True, False], [False, True], [True, True]])
    changed = map_leaves(matrix, lambda leaf: keep(leaf.dense(), kept))
    wanted = torch.zeros(4, 4)
    wanted[:3, :2] = kept.float()
    assert torch.equal(changed.dense(), wanted)
    assert_acts_as(changed, wanted)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Values (N, D), the block of each row, and which columns of each block are kept."""
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    number = draw(st.integers(1, rows))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    owners = (torch.arange(rows) * number // rows)[torch.randperm(rows, generator=generator)]
    kept = torch.rand(number, columns, generator=generator) < draw(st.floats(0, 1))
    kept[0, 0] = True
    return torch.randn(rows, columns, generator=generator), owners, kept


@given(blocks(), st.sampled_from(PRECISIONS))
def test_rows_in_blocks_agree_with_dense_arithmetic_and_their_form(
    case: tuple[Tensor, Tensor, Tensor], precision: Precision
) -> None:
    weight, owners, kept = case
    matrix = in_blocks(weight, owners, kept)
    masked = torch.where(kept[owners], weight, 0.0)
    assert torch.equal(matrix.dense(), masked)
    rows, columns = weight.shape
    form = blocks_form(rows, columns, len(kept), int(kept.sum()))
    assert matrix.form() == form
    coded = quantise(matrix, precision)
    priced = form.map_leaves(lambda leaf: replace(leaf, precision=precision))
    assert coded.form() == priced
    assert stored_bytes(coded) == priced.bytes.low == priced.bytes.high
    assert_acts_as(coded, coded.dense())
    # A column of a block has its own step.
    largest = torch.stack([masked[owners == b].abs().amax(0) for b in range(len(kept))])
    steps = LARGEST_INTEGER.get(precision, 1024)  # a half has eleven bits
    assert (coded.dense() - masked).abs().le(largest[owners] / steps / 2 + 1e-6).all()


@given(blocks(), st.sampled_from(PRECISIONS))
def test_rows_in_blocks_come_back_from_their_description_and_their_shape(
    case: tuple[Tensor, Tensor, Tensor], precision: Precision
) -> None:
    weight, owners, kept = case
    matrix = in_blocks(weight, owners, kept)
    rows, columns = weight.shape
    shaped = in_blocks_shape(rows, columns, len(kept), int(kept.sum())).state_dict()
    state = matrix.state_dict()
    assert {n: (t.shape, t.dtype) for n, t in shaped.items()} == {
        n: (t.shape, t.dtype) for n, t in state.items()
    }
    coded = quantise(matrix, precision)
    again = blank(describe(coded))
    again.load_state_dict(coded.state_dict(), assign=True)
    assert torch.equal(again.dense(), coded.dense())


def test_rows_in_blocks_take_the_bytes_of_their_columns_and_multiply_no_zeros() -> None:
    weight, owners = torch.ones(300, 100), torch.arange(300) // 100
    kept = torch.zeros(3, 100, dtype=torch.bool)
    kept[0, :20], kept[1, 5] = True, True
    matrix = in_blocks(weight, owners, kept)
    # A byte a row for its block, two for the place of each of 21 columns, and their values.
    assert stored_bytes(matrix) == 300 + 21 * 2 + 21 * 100 * 4
    form = matrix.form()
    assert form.product_operations == (2100, 2100)
    # Two bits a row, and nine for one place of 300.
    assert form.packed_bytes.low == 99 + 21 * 100 * 4


@pytest.mark.parametrize("straight", [False, True])
def test_slopes_pass_a_straight_mask_alone(*, straight: bool) -> None:
    matrix = TrainableMatrix(2, 2)
    matrix.mask = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    matrix.straight = straight
    with torch.no_grad():
        matrix.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    for used in (matrix.effective(), matrix.gather(torch.arange(2))):
        assert used.tolist() == [[1.0, 0.0], [1.5, 4.0]]
        (slopes,) = torch.autograd.grad(used.sum(), matrix.weight)
        assert torch.equal(slopes, torch.ones(2, 2) if straight else matrix.mask)


def test_factors_under_training_learn_as_their_product() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = TrainableMatrix(5, 2), TrainableMatrix(4, 2)
    with torch.no_grad():
        for factor in (left, right):
            factor.weight.normal_(generator=generator)
    matrix = LowRankMatrix(left, right)
    x, ids = torch.randn(3, 4, generator=generator), torch.tensor([0, 3, 3])
    indptr = torch.tensor([0, 2, 3])
    product = left.weight @ right.weight.T
    expected = {
        "multiply": (matrix.multiply(x), x @ product.T),
        "project": (matrix.project(product[:, :1].T), product[:, :1].T @ product),
        "gather": (matrix.gather(ids), product[ids]),
        "bag": (matrix.bag(indptr, ids), torch.stack([product[[0, 3]].sum(0), product[3]])),
        "effective": (matrix.effective(), product),
    }
    for name, (ours, theirs) in expected.items():
        torch.testing.assert_close(ours, theirs, msg=name)
        slopes = [
            torch.autograd.grad(
                found.square().sum(), [left.weight, right.weight], retain_graph=True
            )
            for found in (ours, theirs)
        ]
        for mine, other in zip(*slopes, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4, msg=name)
    stored = matrix.stored()
    assert [*stored.parameters()] == []
    assert torch.equal(stored.dense(), matrix.dense())
    assert not matrix.dense().requires_grad


patterns = st.builds(Pattern, st.integers(1, 3), st.integers(3, 8), st.booleans()).filter(
    lambda pattern: pattern.kept < pattern.of
)


def following(values: Tensor, pattern: Pattern) -> Tensor:
    """Which of values (R, C) are the largest of their group: a slow way."""
    kept = torch.zeros(values.shape, dtype=torch.bool)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            line = values[:, column] if pattern.down else values[row]
            place = row if pattern.down else column
            start = place - place % pattern.of
            group = line[start : start + pattern.of].abs().tolist()
            order = sorted(range(len(group)), key=lambda n: (-group[n], n))
            kept[row, column] = place - start in order[: pattern.kept]
    return kept


@given(
    st.integers(1, 9), st.integers(1, 20), patterns, st.sampled_from(PRECISIONS), st.integers(0, 99)
)
def test_a_pattern_comes_back_and_costs_its_form(
    rows: int, columns: int, pattern: Pattern, precision: Precision, seed: int
) -> None:
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    kept = following(values, pattern)
    assert int(kept.sum()) == pattern.entries(rows, columns)
    matrix = keep(values, kept, pattern)
    assert torch.equal(matrix.dense(), torch.where(kept, values, 0.0))
    form = dense_form(rows, columns).follows(pattern)
    assert matrix.form().bytes == form.bytes == (stored_bytes(matrix),) * 2
    encoded = quantise(matrix, precision)
    assert_acts_as(encoded, encoded.dense())
    assert torch.equal(encoded.dense() == 0, matrix.dense() == 0) or precision != "fp32"
    assert encoded.form().bytes == replace(form, precision=precision).bytes
    assert encoded.form().bytes == (stored_bytes(encoded),) * 2
    made = blank(describe(encoded)).state_dict()
    stored = encoded.state_dict()
    assert [(n, t.shape, t.dtype) for n, t in made.items()] == [
        (n, t.shape, t.dtype) for n, t in stored.items()
    ]


def test_groups_come_back() -> None:
    values = torch.arange(15.0).reshape(3, 5)
    along, down = Pattern(1, 4), Pattern(1, 2, down=True)
    assert grouped(values, along)[:2].tolist() == [[0.0, 1.0, 2.0, 3.0], [4.0, 0.0, 0.0, 0.0]]
    assert grouped(values, down, -1.0)[:2].tolist() == [[0.0, 5.0], [10.0, -1.0]]
    for pattern in (along, down):
        assert torch.equal(ungrouped(grouped(values, pattern), pattern, 3, 5), values)


@given(pruned(), st.integers(0, 99), st.sampled_from(PRECISIONS))
def test_a_part_acts_as_the_matrix_without_the_rest(
    case: tuple[Tensor, Tensor], seed: int, precision: Precision
) -> None:
    values, _ = case
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.rand(size, generator=generator) < 0.6 for size in values.shape)
    rows[0] = columns[0] = True
    matrix = part(values, rows, columns)
    assert torch.equal(matrix.dense(), values * rows[:, None] * columns)
    encoded = quantise(matrix, precision)
    assert_acts_as(encoded, encoded.dense())
    form = part_form(matrix.rows, matrix.columns, int(rows.sum()), int(columns.sum()))
    form = form.map_leaves(lambda leaf: replace(leaf, precision=precision))
    assert encoded.form() == form
    assert form.bytes == (stored_bytes(encoded),) * 2
    made, stored = blank(describe(encoded)).state_dict(), encoded.state_dict()
    assert [(n, t.shape, t.dtype) for n, t in made.items()] == [
        (n, t.shape, t.dtype) for n, t in stored.items()
    ]


@given(pruned(), st.integers(1, 5), st.sampled_from(PRECISIONS))
def test_tiles_act_as_the_matrix_without_the_others_and_cost_their_form(
    case: tuple[Tensor, Tensor], side: int, precision: Precision
) -> None:
    values, drawn = case
    rows, columns = values.shape
    kept = drawn[: -(-rows // side), : -(-columns // side)]
    matrix = in_tiles(values, kept, side)
    places = [[kept[r // side, c // side] for c in range(columns)] for r in range(rows)]
    inside = torch.tensor(places)
    assert torch.equal(matrix.dense(), torch.where(inside, values, 0.0))
    assert torch.equal(spread_tiles(kept, side, rows, columns), inside)
    encoded = quantise(matrix, precision)
    assert_acts_as(encoded, encoded.dense())
    form = tiled_form(rows, columns, side, int(kept.sum()))
    form = form.map_leaves(lambda leaf: replace(leaf, precision=precision))
    assert encoded.form() == form
    assert form.bytes == (stored_bytes(encoded),) * 2
    assert form.packed_bytes.high <= form.bytes.high
    made, stored = blank(describe(encoded)).state_dict(), encoded.state_dict()
    assert [(n, t.shape, t.dtype) for n, t in made.items()] == [
        (n, t.shape, t.dtype) for n, t in stored.items()
    ]


def test_tiles_by_hand() -> None:
    # 300 x 40 has 19 rows of 3 tiles; 20 kept take 256 numbers and a byte each, and 20 starts.
    form = tiled_form(300, 40, 16, 20)
    assert form.bytes.low == 20 * (4 * 256 + 1) + 20
    # columns of 2 bits and starts of 5 are 140 bits; one bit for each of 57 places is less
    assert form.packed_bytes.low == 20 * 4 * 256 + 8
    assert form.product_operations.low == 20 * 256
    assert tiled_form(300, 40, 16, 57) == dense_form(300, 40), "what is full is dense"


def test_a_sum_is_read_priced_and_kept_as_both_its_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    values, kept = torch.randn(9, 7, generator=generator), torch.rand(9, 7, generator=generator)
    factors = (DenseMatrix(torch.randn(n, 2, generator=generator)) for n in (9, 7))
    low_rank, sparse = LowRankMatrix(*factors), keep(values, kept < 0.2)
    both = SumMatrix(low_rank, sparse)
    assert_acts_as(both, low_rank.dense() + sparse.dense())
    assert both.form() == Sum(low_rank.form(), sparse.form())
    assert both.form().bytes.low == stored_bytes(both)
    assert both.form().row_operations == low_rank.form().row_operations
    assert leaves(both) == [low_rank.left, low_rank.right, sparse]
    again = blank(describe(both))
    again.load_state_dict(both.state_dict(), assign=True)
    assert torch.equal(again.dense(), both.dense())
    assert isinstance(map_leaves(both, lambda leaf: leaf), SumMatrix)


@given(pruned())
def test_a_watched_matrix_reads_as_what_is_watched(case: tuple[Tensor, Tensor]) -> None:
    matrix = keep(*case)
    watched = WatchedMatrix(matrix)
    rows, columns = case[0].shape
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(3, columns, generator=generator), torch.randn(3, rows, generator=generator)
    ids, indptr = torch.randint(0, rows, (5,), generator=generator), torch.tensor([0, 2, 5])
    assert (watched.rows, watched.columns) == (rows, columns)
    assert torch.equal(watched.gather(ids), matrix.gather(ids))
    assert torch.equal(watched.multiply(x), matrix.multiply(x))
    assert torch.equal(watched.project(y), matrix.project(y))
    assert torch.equal(watched.bag(indptr, ids), matrix.bag(indptr, ids))
    assert torch.equal(watched.dense(), matrix.dense())
    assert watched.form() == matrix.form()
