import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.plugin import PADDING
from automl_rec_embeddings.combinations.combination import Combination
from automl_rec_embeddings.combinations.concat import Concat
from automl_rec_embeddings.combinations.conjugate_gradient import fit_together
from automl_rec_embeddings.combinations.least_squares import part_of
from automl_rec_embeddings.combinations.sum import Sum

IDS, WIDTH, SIZES, ORDER = 60, 6, (7, 7, 11), (0, 0, 1)


def drawn() -> tuple[Tensor, list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    slots = [torch.randint(size, (IDS,), generator=generator) for size in SIZES]
    slots[1][::3] = PADDING
    slots[0][slots[0] == 5] = 4
    slots[1][slots[1] == 5] = 4  # nothing reads row 5 of the store that stands twice
    weights = torch.randint(1, 1000, (IDS,), generator=generator).float()
    return torch.randn(IDS, WIDTH, generator=generator), slots, weights


def by_least_squares(combination: Combination) -> np.ndarray:
    """The nearest rows there are, from the dense matrix of every number that is read."""
    rows, slots, weights = drawn()
    widths = combination.widths(WIDTH, len(SIZES))
    shapes = {0: (7, widths[0]), 1: (11, widths[2])}
    columns = []
    for store, shape in shapes.items():
        for place in np.ndindex(shape):
            unit = torch.zeros(shape)
            unit[place] = 1.0
            stores = [unit if j == store else torch.zeros(shapes[j]) for j in ORDER]
            parts = [part_of(s, at, 0.0) for s, at in zip(stores, slots, strict=True)]
            columns.append(combination.join(parts).reshape(-1).numpy())
    roots = np.sqrt(weights.numpy()).repeat(WIDTH)
    matrix = np.stack(columns, 1)
    best = np.linalg.lstsq(roots[:, None] * matrix, roots * rows.reshape(-1).numpy())[0]
    return np.asarray(matrix @ best).reshape(IDS, WIDTH)


@pytest.mark.parametrize("combination", [Sum(), Concat()], ids=["sum", "concat"])
def test_a_store_that_stands_twice_is_fitted_in_least_squares(combination: Combination) -> None:
    rows, slots, weights = drawn()
    fitted = fit_together(combination, rows, slots, ORDER, SIZES, weights)
    assert torch.equal(fitted[0], fitted[1])
    assert not fitted[0][5].any()
    parts = [part_of(store, at, 0.0) for store, at in zip(fitted, slots, strict=True)]
    nearest = by_least_squares(combination)
    assert np.allclose(combination.join(parts), nearest, atol=1e-4)
    assert np.abs(nearest - rows.numpy()).max() > 0.1  # and no exact fit exists
