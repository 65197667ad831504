"""The flat block butterfly: which blocks of a weight are not 0."""

import torch
from torch import Tensor


def flat_butterfly(down: int, across: int, strides: int) -> Tensor:
    """Which of the blocks (down, across) stay, bool: the union of the first factors of a butterfly.

    In a square grid of a power of two, block i keeps itself and i xor 2^k for every stride k below
    ``strides``, so that each row of blocks has 1 + strides of them. Over other grids the largest
    such square that is no larger than their shorter side is stretched.

    Source: Dao et al., ICLR 2022 (Pixelated Butterfly), section 3.
    """
    side = 1 << (min(down, across).bit_length() - 1)
    places = torch.arange(side)
    square = torch.eye(side, dtype=torch.bool)
    for stride in range(min(strides, side.bit_length() - 1)):
        square[places, places ^ (1 << stride)] = True
    rows = torch.arange(down) * side // down
    columns = torch.arange(across) * side // across
    return square[rows][:, columns]
