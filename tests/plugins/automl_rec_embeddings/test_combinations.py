import pytest
import torch
from torch import Tensor

from automl_rec_embeddings.combinations.combination import Combination
from automl_rec_embeddings.combinations.concat import Concat
from automl_rec_embeddings.combinations.product import Product
from automl_rec_embeddings.combinations.sum import Sum

IDS, WIDTH = 40, 4


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def slots(*sizes: int) -> list[Tensor]:
    drawn = generator()
    return [torch.randint(size, (IDS,), generator=drawn) for size in sizes]


def joined(combination: Combination, stores: list[Tensor], at: list[Tensor]) -> Tensor:
    return combination.join([store[s] for store, s in zip(stores, at, strict=True)])


def test_joining_adds_multiplies_or_sets_side_by_side() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])
    assert Sum().join([a, b]).tolist() == [[4.0, 7.0]]
    assert Product().join([a, b]).tolist() == [[3.0, 10.0]]
    assert Concat().join([a, b]).tolist() == [[1.0, 2.0, 3.0, 5.0]]


def test_widths_share_what_is_set_side_by_side() -> None:
    assert Concat().widths(7, 2) == (4, 3)
    assert Sum().widths(7, 2) == (7, 7)


@pytest.mark.parametrize("combination", [Sum(), Concat()], ids=["sum", "concat"])
def test_scores_split_over_the_parts(combination: Combination) -> None:
    widths = combination.widths(WIDTH, 2)
    parts = [torch.randn(5, width, generator=generator()) for width in widths]
    x = torch.randn(3, WIDTH, generator=generator())
    split = combination.split(x, widths)
    summed = split[0] @ parts[0].T + split[1] @ parts[1].T
    assert torch.allclose(x @ combination.join(parts).T, summed, atol=1e-6)


def test_one_store_holds_the_weighted_mean_of_the_ids_that_share_a_slot() -> None:
    rows = torch.randn(IDS, WIDTH, generator=generator())
    weights = torch.rand(IDS, generator=generator()) + 0.1
    at = slots(6)
    (store,) = Sum().fit(rows, at, [6], weights)
    for slot in range(6):
        own = at[0] == slot
        mean = (weights[own, None] * rows[own]).sum(0) / weights[own].sum()
        assert torch.allclose(store[slot], mean, atol=1e-5)


def test_two_added_stores_reach_the_error_of_dense_least_squares() -> None:
    rows = torch.randn(IDS, WIDTH, generator=generator(), dtype=torch.float64)
    weights = torch.rand(IDS, generator=generator(), dtype=torch.float64) + 0.1
    at = slots(6, 5)
    design = torch.zeros(IDS, 11, dtype=torch.float64)
    design[torch.arange(IDS), at[0]] = 1.0
    design[torch.arange(IDS), 6 + at[1]] = 1.0
    root = weights.sqrt()[:, None]
    best = torch.linalg.lstsq(root * design, root * rows, driver="gelsd").solution
    least = (root * (rows - design @ best)).square().sum()
    found = joined(Sum(), Sum().fit(rows, at, [6, 5], weights), at)
    assert (root * (rows - found)).square().sum() <= least * 1.001


def test_side_by_side_stores_hold_the_mean_of_their_columns() -> None:
    rows = torch.randn(IDS, WIDTH, generator=generator())
    at = slots(6, 5)
    stores = Concat().fit(rows, at, [6, 5], torch.ones(IDS))
    assert torch.allclose(stores[1][at[1][0]], rows[at[1] == at[1][0], 2:].mean(0), atol=1e-6)


@pytest.mark.parametrize("combination", [Sum(), Product()], ids=["sum", "mul"])
def test_rows_made_by_two_stores_are_found_again(combination: Combination) -> None:
    at = slots(6, 5)
    stores = [torch.rand(size, WIDTH, generator=generator()) + 0.5 for size in (6, 5)]
    rows = joined(combination, stores, at)
    found = joined(combination, combination.fit(rows, at, [6, 5], torch.ones(IDS)), at)
    assert (found - rows).norm() < 0.01 * rows.norm()


@pytest.mark.parametrize("combination", [Sum(), Concat(), Product()], ids=["sum", "concat", "mul"])
def test_slots_that_no_id_reads_hold_zeros(
    combination: Combination,
) -> None:
    rows = torch.randn(IDS, WIDTH, generator=generator())
    (store,) = combination.fit(rows, [torch.zeros(IDS, dtype=torch.int64)], [3], torch.ones(IDS))
    assert not store[1:].any()
    assert torch.allclose(store[0], rows.mean(0), atol=1e-6)
