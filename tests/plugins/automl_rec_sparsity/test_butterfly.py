import pytest
import torch

from automl_rec_sparsity.butterfly import flat_butterfly


@pytest.mark.parametrize("strides", [0, 1, 2, 3, 4])
def test_every_row_of_blocks_has_one_more_than_strides(strides: int) -> None:
    blocks = flat_butterfly(16, 16, strides)
    assert (blocks.sum(1) == 1 + strides).all()
    assert torch.equal(blocks, blocks.T)
    assert blocks.diagonal().all()


def test_a_row_by_hand() -> None:
    # 5 with itself, 5 xor 1, 5 xor 2 and 5 xor 4
    assert flat_butterfly(8, 8, 3)[5].nonzero()[:, 0].tolist() == [1, 4, 5, 7]


def test_no_more_strides_than_the_grid_has() -> None:
    assert torch.equal(flat_butterfly(4, 4, 9), flat_butterfly(4, 4, 2))
    assert flat_butterfly(1, 1, 3).tolist() == [[True]]


@pytest.mark.parametrize(("down", "across", "side"), [(3, 8, 2), (8, 2, 2), (5, 7, 4), (8, 16, 8)])
def test_over_other_grids_a_square_is_stretched(down: int, across: int, side: int) -> None:
    blocks = flat_butterfly(down, across, 2)
    square = flat_butterfly(side, side, 2)
    assert blocks.shape == (down, across)
    for row in range(down):
        for column in range(across):
            assert blocks[row, column] == square[row * side // down, column * side // across]
    assert blocks.any(1).all()
    assert blocks.any(0).all()
