from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import mse_loss

from automl_rec.plugin import GridMatrix, GridSizes, Use, Weight
from automl_rec.training.adam import Adam
from automl_rec_rank.allocation import Size
from automl_rec_rank.btt import Btt


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def joined(scheme: Btt, rows: int, columns: int) -> tuple[Weight, GridMatrix]:
    weight = Weight("w", rows, columns, "linear", Use(1.0))
    weight.assign(drawn(rows, columns))
    scheme.join({"w": weight})
    return weight, cast("GridMatrix", weight.matrix)


def test_grids_by_hand() -> None:
    even = Btt("even", block_rank=2)
    assert even.sizes(Size(64, 32)) == GridSizes(8, 8, 4, 8, 2)
    assert even.sizes(Size(60, 12)) == GridSizes(6, 10, 3, 4, 2)
    assert even.sizes(Size(97, 40)) == GridSizes(10, 10, 5, 8, 2), "97 is filled up to 100"
    assert even.sizes(Size(1, 4)).rank == 1
    monarch = Btt("monarch", blocks=4)
    assert monarch.sizes(Size(64, 64)) == GridSizes(4, 16, 4, 16, 4)
    assert monarch.sizes(Size(64, 30)) == GridSizes(4, 16, 4, 8, 2)
    # Both products of Dao et al. have 64 * 16 numbers at 4 blocks of 16.
    assert monarch.sizes(Size(64, 64)).numbers == 2 * 64 * 16


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 5), st.booleans())
def test_a_grid_covers_its_weight(rows: int, columns: int, number: int, even: bool) -> None:  # noqa: FBT001 - hypothesis
    scheme = Btt("even", block_rank=number) if even else Btt("monarch", blocks=number)
    sizes = scheme.sizes(Size(rows, columns))
    assert rows <= sizes.blocks * sizes.height < rows + max(sizes.height, sizes.blocks)
    assert columns <= sizes.pieces * sizes.width < columns + max(sizes.width, sizes.pieces)
    expected = sizes.rank * sizes.pieces * sizes.blocks * (sizes.width + sizes.height)
    assert sizes.numbers == expected


def test_a_grid_that_is_no_smaller_is_not_made() -> None:
    assert Btt("even", block_rank=8).served(Size(16, 16)) is None
    assert Btt("monarch", blocks=2).served(Size(8, 8)) is None  # 2 * 8 * 4 numbers
    found = Btt("even").served(Size(16, 16))
    assert found is not None
    assert found.bytes.high == 4 * 2 * 16 * 4


@pytest.mark.parametrize("scheme", [Btt("even", block_rank=2), Btt("monarch", blocks=4)])
def test_a_grid_starts_at_the_length_of_the_weight_learns_and_is_served(scheme: Btt) -> None:
    whole = drawn(40, 36)
    weight, grid = joined(scheme, 40, 36)
    (priced,) = scheme.price({"w": weight.price()}).values()
    assert grid.dense().norm().item() == pytest.approx(whole.norm().item(), rel=1e-4)
    cosine = (grid.dense() * whole).sum() / whole.square().sum()
    assert cosine > 0.3, "it points where the weight does"
    adam, x, wanted = Adam(weight.parameters(), 0.02), drawn(64, 36, seed=1), drawn(64, 40, seed=2)
    losses = []
    for _ in range(60):
        loss = mse_loss(grid.multiply(x), wanted)
        adam.clear()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    judged = grid.multiply(x).detach()
    weight.freeze()
    assert isinstance(weight.matrix, GridMatrix)
    assert weight.matrix.form() == priced
    assert torch.equal(weight.matrix.multiply(x), judged)
