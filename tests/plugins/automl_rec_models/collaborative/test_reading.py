import pytest
import torch

from automl_rec.plugin import PlainTable, Table
from automl_rec.plugin.table import Field
from automl_rec_models.collaborative import reading
from automl_rec_models.collaborative.reading import products, read


@pytest.fixture
def table() -> Table:
    return PlainTable(Field("item", 9, 3), torch.Generator().manual_seed(0))


def test_different_items_are_read_once_and_found_again(table: Table) -> None:
    items, others = torch.tensor([[4, 7], [4, 2]]), torch.tensor([7, 0])
    found = read(table, items, others)
    assert len(found.rows) == 4
    assert torch.equal(found.of(items), table.rows()[items])
    assert torch.equal(found.of(others), table.rows()[others])


def test_the_mean_square_counts_repetitions(table: Table) -> None:
    items = torch.tensor([[4, 7], [4, 2]])
    mean = read(table, items, torch.tensor([1])).mean_square(items)
    torch.testing.assert_close(mean, table.rows()[items].square().sum(2).mean())


@pytest.mark.parametrize("read_again", [0, 1000])
def test_products_are_alike_whatever_way_they_are_computed(
    table: Table, read_again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "READ_AGAIN", read_again)
    vectors, numbers = (
        torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0]]),
        torch.tensor([[1, 8], [3, 3]]),
    )
    ours = products(vectors, read(table, numbers), numbers)
    expected = torch.einsum("bd,bnd->bn", vectors, table.rows()[numbers])
    torch.testing.assert_close(ours, expected)
    weights = table.weights()[0].trainable
    slopes = [torch.autograd.grad(result.square().sum(), weights)[0] for result in (ours, expected)]
    torch.testing.assert_close(*slopes)
