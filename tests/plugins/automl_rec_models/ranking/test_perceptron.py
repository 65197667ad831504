from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Layers
from automl_rec_models.ranking.perceptron import BatchNorm, Hidden, Perceptron


def perceptron_of(catalog: Catalog, hidden: Hidden) -> Perceptron:
    return Perceptron("deep", 4, Layers(catalog, torch.Generator().manual_seed(0)), hidden)


def states(rows: int = 8) -> Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))


def test_without_layers_it_changes_nothing(plain: Catalog) -> None:
    perceptron, x = perceptron_of(plain, Hidden(5, 0)), states()
    assert torch.equal(perceptron(x), x)
    assert perceptron.width == 4


def test_it_normalises_like_torch() -> None:
    ours, theirs = BatchNorm(4), torch.nn.BatchNorm1d(4)
    for seed in range(3):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(states()), theirs.eval()(states()))


def test_a_batch_of_one_row_trains_as_it_is_served(plain: Catalog) -> None:
    perceptron = perceptron_of(plain, Hidden(5, 2, batch_norm=True))
    perceptron(states())
    alone = states(1)
    trained = perceptron(alone)
    assert torch.equal(trained, perceptron.eval()(alone))


def test_a_shift_before_a_normalisation_is_left_out(plain: Catalog) -> None:
    names = dict(perceptron_of(plain, Hidden(5, 1, batch_norm=True)).named_parameters())
    assert set(names) == {"linears.0.weight.matrix.weight", "norms.0.gain", "norms.0.shift"}


@pytest.mark.parametrize("batch_norm", [True, False])
def test_dropout_acts_in_training_alone_and_follows_the_seed(
    plain: Catalog, batch_norm: Any
) -> None:
    perceptron = perceptron_of(plain, Hidden(64, 2, batch_norm, 0.5))
    x = states()
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            drawn.append(perceptron(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    perceptron.eval()
    assert torch.equal(perceptron(x), perceptron(x))
