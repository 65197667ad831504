from collections.abc import Callable
from typing import Any

import pytest
import torch

from automl_rec.plugin import (
    DenseMatrix,
    Infeasible,
    LowRankMatrix,
    SumMatrix,
    TileMatrix,
    Use,
    Weight,
    dense_form,
)
from automl_rec_sparsity.butterfly import flat_butterfly
from automl_rec_sparsity.pixelfly import Pixelfly, PixelflyMatrix, Shape

Train = Callable[..., Any]


def joined(rows: int, columns: int, scheme: Pixelfly) -> Weight:
    weight = Weight("w", rows, columns, "linear", Use(1))
    weight.initialise(columns**-0.5, torch.Generator().manual_seed(0))
    scheme.join({"w": weight})
    return weight


def test_its_numbers_are_those_of_blocks_and_factors() -> None:
    scheme = Pixelfly(block=8, strides=2, rank=0.125)
    weight = joined(64, 128, scheme)
    priced = scheme.price({"w": dense_form(64, 128)})["w"]
    masked = weight.matrix.dense().clone()
    weight.freeze()
    scheme.compress({"w": weight})
    matrix = weight.matrix
    assert isinstance(matrix, SumMatrix)
    assert isinstance(matrix.first, TileMatrix)
    assert isinstance(matrix.second, LowRankMatrix)
    # 8 rows of 16 blocks, over which a square of 8 is stretched: 3 of 8 are 6 of 16
    assert matrix.first.tiles.rows == 8 * 6
    assert matrix.second.rank == 8
    assert matrix.form() == priced
    stored = sum(t.nbytes for t in matrix.state_dict().values())
    assert priced.bytes == (stored, stored)
    assert stored == 4 * (48 * 64 + 8 * (64 + 128)) + 48 + 9
    assert torch.equal(matrix.dense(), masked)


def test_it_starts_as_large_as_the_weight_was() -> None:
    plain = Weight("w", 256, 256, "linear", Use(1))
    plain.initialise(256**-0.5, torch.Generator().manual_seed(0))
    weight = joined(256, 256, Pixelfly(block=16, strides=2, rank=0.1))
    matrix = weight.matrix
    assert isinstance(matrix, PixelflyMatrix)
    norm = plain.trainable.norm().item()
    assert matrix.blocks.dense().norm().item() == pytest.approx(norm, rel=0.05)
    factors = matrix.left.dense() @ matrix.right.dense().T
    assert factors.norm().item() == pytest.approx(norm, rel=1e-3)


def test_all_of_it_learns_but_what_is_beside_its_blocks() -> None:
    weight = joined(16, 16, Pixelfly(block=4, strides=1, rank=0.1))
    matrix = weight.matrix
    assert isinstance(matrix, PixelflyMatrix)
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    matrix.multiply(x).square().sum().backward()
    slopes = [part.grad for part in matrix.parameters()]
    assert len(slopes) == 4
    assert all(slope is not None and slope.any() for slope in slopes)
    outside = matrix.blocks.mask == 0
    assert matrix.blocks.weight.grad is not None
    assert not matrix.blocks.weight.grad[outside].any()


def test_with_every_stride_and_full_rank_it_can_be_the_identity() -> None:
    blocks = flat_butterfly(16, 16, 4)
    matrix = PixelflyMatrix(DenseMatrix(torch.eye(64)), Shape(4, 64, blocks))
    with torch.no_grad():
        matrix.blocks.weight.copy_(torch.eye(64))
        matrix.left.weight.copy_(torch.eye(64))
        matrix.right.weight.copy_(torch.eye(64))
        for gate in (0.0, 0.3, 1.0):
            matrix.gate.fill_(gate)
            assert torch.allclose(matrix.dense(), torch.eye(64))


def test_small_weights_and_tables_stay_and_nothing_else_is_refused() -> None:
    scheme = Pixelfly(block=16, strides=6, rank=0.5)
    small = Weight("small", 4, 4, "linear", Use(1))
    table = Weight("table", 512, 64, "table", Use(rows=1))
    with pytest.raises(Infeasible, match=r"pixelfly finds no linear weight .* Lower strides"):
        scheme.join({"small": small, "table": table})


def test_a_regression_is_learned_better_than_by_blocks_alone(train_with: Train) -> None:
    def error(rank: float) -> float:
        model = train_with(Pixelfly(4, 1, rank), lambda model, step: None, epochs=12)
        found = model.main.matrix.dense()
        return float((found - model.truth).norm() / model.truth.norm())

    assert error(0.25) < error(0.01) < 1.0
