from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl_rec.plugin import Catalog, DenseMatrix, Layers, LowRankMatrix, Rows
from automl_rec_models.ranking.cross import CrossMixture, CrossNetwork
from automl_rec_models.ranking.dcn_v2 import DcnV2

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 6
STRUCTURES = ("crossnet", "stacked", "parallel", "stacked-parallel")
DEEP: dict[str, Any] = {"hidden": 5, "depth": 2, "batch_norm": False, "dropout": 0.0}


def layers_of(catalog: Catalog) -> Layers:
    return Layers(catalog, torch.Generator().manual_seed(0))


def filled(module: Any, strength: float = 0.5) -> Any:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in module.parameters():
            part.copy_(strength * torch.randn(part.shape, generator=generator))
    return module


def states(rows: int = 5) -> Tensor:
    return torch.randn(rows, SIZE, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("mixture", [True, False])
def test_without_weights_a_cross_network_changes_nothing(plain: Catalog, mixture: Any) -> None:
    more = {"rank": 3, "experts": 2} if mixture else {}
    network: Any = (CrossMixture if mixture else CrossNetwork)(SIZE, 3, layers_of(plain), **more)
    for part in network.parameters():
        nn.init.zeros_(part)
    assert torch.equal(network(states()), states())


def test_a_layer_multiplies_with_the_first_input(plain: Catalog) -> None:
    network = filled(CrossNetwork(SIZE, 2, layers_of(plain)))
    x = states()
    expected = x
    for cross in network.crosses:
        expected = x * (expected @ cross.weight.trainable.T + cross.bias) + expected
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_without_biases_its_degree_along_a_ray_is_one_above_its_layers(
    plain: Catalog, depth: int
) -> None:
    network = filled(CrossNetwork(SIZE, depth, layers_of(plain))).double()
    for cross in network.crosses:
        nn.init.zeros_(cross.bias)
    steps = torch.arange(1.0, depth + 4.0, dtype=torch.float64)  # depth + 3 points on the ray
    with torch.no_grad():
        values = network(steps[:, None] * states(1).double()).numpy()
    assert np.abs(np.diff(values, n=depth + 1, axis=0)).max() > 1e-3
    assert np.abs(np.diff(values, n=depth + 2, axis=0)).max() < 1e-9


def test_factors_of_full_rank_are_the_full_layer(plain: Catalog) -> None:
    network, x = filled(CrossNetwork(SIZE, 2, layers_of(plain))), states()
    expected = network(x).detach()
    for cross in network.crosses:
        left, sizes, right = torch.linalg.svd(cross.weight.matrix.dense())
        factors = (left * sizes).contiguous(), right.T.contiguous()
        cross.weight.matrix = LowRankMatrix(*map(DenseMatrix, factors))
    torch.testing.assert_close(network(x).detach(), expected)


def test_one_expert_that_adds_nothing_is_the_layer_of_low_rank(plain: Catalog) -> None:
    small = 1e-3  # tanh is the identity there
    mixture: Any = filled(CrossMixture(SIZE, 2, layers_of(plain), rank=3, experts=1))
    full: Any = CrossNetwork(SIZE, 2, layers_of(plain))
    with torch.no_grad():
        for into, inside, back, cross in zip(
            mixture.into, mixture.inside, mixture.back, full.crosses, strict=True
        ):
            cross.weight.assign(back.weight.trainable @ into.weight.trainable)
            cross.bias.copy_(back.bias)
            inside.weight.assign(torch.eye(3))
            into.weight.trainable.mul_(small)
            back.weight.trainable.div_(small)
    assert mixture.gate is None
    torch.testing.assert_close(mixture(states()), full(states()), rtol=1e-3, atol=1e-3)


def test_experts_are_mixed_by_gates_that_all_layers_share(plain: Catalog) -> None:
    mixture: Any = filled(CrossMixture(SIZE, 2, layers_of(plain), rank=3, experts=2))
    x = states()
    state = x
    for number in range(2):
        gates = torch.softmax(state @ mixture.gate.weight.trainable.T, 1)
        into = mixture.into[number].weight.trainable
        back, bias = mixture.back[number].weight.trainable, mixture.back[number].bias
        total = torch.zeros_like(x)
        for e in range(2):
            part = slice(3 * e, 3 * e + 3)
            inside = mixture.inside[2 * number + e].weight.trainable
            code = torch.tanh(torch.tanh(state @ into[part].T) @ inside.T)
            total = total + gates[:, e, None] * (x * (code @ back[:, part].T + bias))
        state = total + state
    torch.testing.assert_close(mixture(x), state)
    assert mixture.gate.weight.sensitive
    assert mixture.gate.weight.use.products == 2


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_structure_joins_the_cross_network_and_perceptrons(
    plain: Catalog, rows: Rows, make: Any, structure: Any
) -> None:
    deep = {} if structure == "crossnet" else DEEP
    model = make(DcnV2, plain, width=2, crosses=2, cross="full", structure=structure, **deep)
    x = model.tables[0](rows).vectors.flatten(1)
    crossed = model.cross(x)
    joins: dict[str, Callable[[], Tensor]] = {
        "crossnet": lambda: crossed,
        "stacked": lambda: model.stacked(crossed),
        "parallel": lambda: torch.cat([crossed, model.parallel(x)], 1),
        "stacked-parallel": lambda: torch.cat([model.stacked(crossed), model.parallel(x)], 1),
    }
    expected = joins[structure]() @ model.output.weight.trainable.T + model.output.bias
    torch.testing.assert_close(model.logits(rows), expected[:, 0])


@pytest.mark.parametrize("cross", ["full", "mixture"])
def test_one_row_is_judged_as_among_others(
    plain: Catalog, rows: Rows, make: Any, cross: Any
) -> None:
    more: dict[str, Any] = {"rank": 3, "experts": 2} if cross == "mixture" else {}
    more |= {"structure": "stacked-parallel", **DEEP}
    model = make(DcnV2, plain, width=2, crosses=2, cross=cross, **more)
    alone = Rows({name: values[2:3] for name, values in rows.fields.items()})
    logits = model.logits(alone)
    assert logits.shape == (1,)
    torch.testing.assert_close(logits, model.logits(rows)[2:3])


def test_operations_count_products_gates_and_normalisations(plain: Catalog, make: Any) -> None:
    crossnet = {"width": 2, "crosses": 3, "structure": "crossnet"}
    assert make(DcnV2, plain, cross="full", **crossnet).operations() == 3 * 6
    mixture = make(DcnV2, plain, cross="mixture", rank=4, experts=2, **crossnet)
    assert mixture.operations() == 3 * (6 + 2 * 4)
    both = crossnet | DEEP | {"structure": "stacked-parallel", "batch_norm": True}
    assert make(DcnV2, plain, cross="full", **both).operations() == 3 * 6 + 2 * 2 * 5
