"""Grids of blocks of low rank against dense arithmetic."""

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import (
    DenseMatrix,
    Grid,
    GridMatrix,
    GridSizes,
    Interval,
    TrainableMatrix,
    dense_form,
    keep,
    leaves,
    map_leaves,
    quantise,
)
from automl_rec.plugin.matrices.describing import blank, describe

SIZES = [
    (12, 10, GridSizes(3, 4, 2, 5, 2)),
    (11, 9, GridSizes(3, 4, 2, 5, 1)),  # filled up
    (5, 7, GridSizes(1, 5, 7, 1, 1)),
    (6, 6, GridSizes(6, 1, 1, 6, 1)),
]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stored(rows: int, columns: int, sizes: GridSizes) -> GridMatrix:
    cores = DenseMatrix(drawn(*sizes.down)), DenseMatrix(drawn(*sizes.up, seed=1))
    return GridMatrix(rows, columns, *cores, sizes)


def block_by_block(grid: GridMatrix) -> Tensor:
    """The matrix, from the definition of every block."""
    blocks, height, pieces, width, rank = grid.sizes
    down, up = grid.down.dense(), grid.up.dense()
    whole = torch.zeros(blocks * height, pieces * width)
    for block in range(blocks):
        for piece in range(pieces):
            first = (piece * blocks + block) * rank
            left = up[block * height : (block + 1) * height, piece * rank : (piece + 1) * rank]
            whole[block * height : (block + 1) * height, piece * width : (piece + 1) * width] = (
                left @ down[first : first + rank]
            )
    return whole[: grid.rows, : grid.columns]


@pytest.mark.parametrize(("rows", "columns", "sizes"), SIZES)
def test_every_way_to_read_a_grid_reads_its_blocks(
    rows: int, columns: int, sizes: GridSizes
) -> None:
    grid = stored(rows, columns, sizes)
    whole = block_by_block(grid)
    x, wide = drawn(2, 3, columns, seed=2), drawn(4, rows, seed=3)
    ids, indptr = torch.tensor([0, rows - 1, 2, 2]), torch.tensor([0, 3, 3, 4])
    assert torch.allclose(grid.dense(), whole, atol=1e-5)
    assert torch.allclose(grid.multiply(torch.eye(columns)).T, whole, atol=1e-5)
    assert torch.allclose(grid.multiply(x), x @ whole.T, atol=1e-5)
    assert torch.allclose(grid.project(wide), wide @ whole, atol=1e-5)
    assert torch.equal(grid.gather(ids[:, None])[:, 0], grid.dense()[ids])
    sums = torch.stack([whole[ids[:3]].sum(0), torch.zeros(columns), whole[2]])
    assert torch.allclose(grid.bag(indptr, ids), sums, atol=1e-5)
    assert grid.multiply(torch.zeros(0, columns)).shape == (0, rows)


@pytest.mark.parametrize(("rows", "columns", "sizes"), SIZES)
def test_a_grid_costs_what_its_sizes_say_and_comes_back(
    rows: int, columns: int, sizes: GridSizes
) -> None:
    grid = stored(rows, columns, sizes)
    assert grid.form() == sizes.form()
    blocks, height, pieces, width, rank = sizes
    numbers = rank * (width * pieces * blocks + blocks * pieces * height)
    assert sizes.numbers == numbers
    assert grid.form().bytes == Interval(4 * numbers, 4 * numbers)
    assert grid.form().product_operations == Interval(numbers, numbers)
    assert sum(tensor.nbytes for tensor in grid.state_dict().values()) == 4 * numbers
    again = blank(describe(grid))
    again.load_state_dict(grid.state_dict(), assign=True)
    x = drawn(3, columns)
    assert torch.equal(again.multiply(x), grid.multiply(x))


def test_a_row_is_computed_from_its_block() -> None:
    form = GridSizes(3, 4, 2, 5, 2).form()
    assert form.row_operations == Interval(2 * 5 * 2, 2 * 5 * 2)
    assert form.leaves() == (dense_form(12, 5), dense_form(12, 4))
    assert form.map_leaves(lambda leaf: leaf.kept(Interval(8, 8))).bytes.high < form.bytes.low
    assert form.packed_bytes == form.bytes


def test_cores_are_leaves_that_can_be_changed() -> None:
    grid = stored(12, 10, SIZES[0][2])
    assert leaves(grid) == [grid.down, grid.up]
    half = map_leaves(grid, lambda leaf: keep(leaf.dense(), leaf.dense() > 0))
    assert isinstance(half, GridMatrix)
    assert isinstance(half.form(), Grid)
    x = drawn(3, 10)
    assert torch.allclose(half.multiply(x), x @ block_by_block(half).T, atol=1e-5)
    rounded = quantise(grid, "int8")
    assert torch.allclose(rounded.dense(), grid.dense(), atol=0.1)


def test_the_nearest_grid_has_the_nearest_blocks() -> None:
    rows, columns, sizes = SIZES[0]
    cores = TrainableMatrix(*sizes.down), TrainableMatrix(*sizes.up)
    grid, whole = GridMatrix(rows, columns, *cores, sizes), drawn(rows, columns)
    with torch.no_grad():
        grid.assign(whole)
    for block in range(3):
        for piece in range(2):
            place = slice(4 * block, 4 * block + 4), slice(5 * piece, 5 * piece + 5)
            tail = torch.linalg.svdvals(whole[place])[2:]
            error = (grid.dense()[place] - whole[place]).norm()
            assert error.item() == pytest.approx(tail.norm().item(), rel=1e-4)
    assert grid.multiply(drawn(3, columns)).requires_grad
    kept = grid.stored()
    assert not list(kept.parameters())
    assert torch.equal(kept.dense(), grid.dense())


def test_at_the_full_rank_of_its_blocks_a_grid_is_any_matrix() -> None:
    sizes = GridSizes(3, 4, 2, 5, 4)
    cores = TrainableMatrix(*sizes.down), TrainableMatrix(*sizes.up)
    grid, whole = GridMatrix(11, 9, *cores, sizes), drawn(11, 9)
    with torch.no_grad():
        grid.assign(whole)
    assert torch.allclose(grid.dense(), whole, atol=1e-5)
    beyond = GridSizes(3, 4, 2, 5, 6)  # more than blocks have
    cores = TrainableMatrix(*beyond.down), TrainableMatrix(*beyond.up)
    grid = GridMatrix(11, 9, *cores, beyond)
    with torch.no_grad():
        grid.assign(whole)
    assert torch.allclose(grid.dense(), whole, atol=1e-5)
