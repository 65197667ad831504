import pytest
import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    DenseMatrix,
    Either,
    Form,
    Infeasible,
    Interval,
    LowRankMatrix,
    Product,
    TrainableMatrix,
    Use,
    Weight,
    dense_form,
)
from automl_rec_rank.allocation import Size
from automl_rec_rank.factors import Factors, TrainedProduct


class Pair(Factors):
    """Two factors."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__(rows, columns)
        generator = torch.Generator().manual_seed(rows)
        self.left = nn.Parameter(torch.randn(rows, rank, generator=generator))
        self.right = nn.Parameter(torch.randn(columns, rank, generator=generator))

    def acting(self) -> tuple[Tensor, Tensor]:
        return self.left, self.right


class Pairs(TrainedProduct):
    """Pairs of a rank between two."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.low, self.high = low, high

    def ranks(self, size: Size) -> Interval:
        return Interval(self.low, self.high)

    def factors(self, weight: Weight, size: Size) -> Factors:
        return Pair(weight.rows, weight.columns, self.low)


class LinearPairs(Pairs):
    """Pairs in place of linears."""

    linears_alone = True


def weights(**made: tuple[int, int]) -> dict[str, Weight]:
    return {
        name: Weight(name, *shape, "table" if name == "table" else "linear", Use(1.0))
        for name, shape in made.items()
    }


def test_every_way_to_read_factors_reads_their_product() -> None:
    pair, x = Pair(7, 5, 2), torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1))
    whole = (pair.left @ pair.right.T).detach()
    ids, indptr = torch.tensor([[0, 6], [3, 3]]), torch.tensor([0, 2, 2, 4])
    assert torch.allclose(pair.effective(), whole)
    assert torch.allclose(pair.dense(), whole)
    assert not pair.dense().requires_grad
    assert torch.allclose(pair.gather(ids), whole[ids], atol=1e-6)
    assert torch.allclose(pair.multiply(x), x @ whole.T, atol=1e-5)
    wide = torch.randn(4, 7, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(pair.project(wide), wide @ whole, atol=1e-5)
    sums = torch.stack([whole[[0, 6]].sum(0), torch.zeros(5), whole[[3, 3]].sum(0)])
    assert torch.allclose(pair.bag(indptr, ids.reshape(-1)), sums, atol=1e-5)
    assert pair.form() == Product(dense_form(7, 2), dense_form(5, 2))


@pytest.mark.parametrize("rank", [2, 3, 5])
def test_factors_are_stored_where_they_are_smaller(rank: int) -> None:
    pair = Pair(7, 5, rank)  # 35 numbers, 12 a rank
    stored = pair.stored()
    assert isinstance(stored, LowRankMatrix if rank == 2 else DenseMatrix)
    assert torch.allclose(stored.dense(), pair.dense(), atol=1e-6)
    assert not list(stored.parameters())


def test_what_cannot_be_factored_as_a_whole_stays_whole() -> None:
    made = weights(plain=(9, 9), frozen=(9, 9), masked=(9, 9), corner=(9, 9), row=(1, 9))
    made["frozen"].requires_grad_(False)
    masked = made["masked"].matrix
    assert isinstance(masked, TrainableMatrix)
    masked.mask = torch.ones(9, 9)
    made["corner"].corner = (9, 4)
    made["diagonal"] = Weight("diagonal", 9, 9, "item-item", Use(1.0), zero_diagonal=True)
    rank = Pairs(2, 2)
    rank.join(made)
    assert list(rank.factored) == ["plain"]
    priced = rank.price({name: weight.price() for name, weight in made.items()})
    for name, weight in made.items():
        weight.freeze()
        assert weight.matrix.form() == priced[name], name


def test_tables_stay_whole_where_linears_alone_are_factored() -> None:
    made = weights(table=(20, 9), linear=(9, 9))
    for rank, expected in ((Pairs(2, 2), ["table", "linear"]), (LinearPairs(2, 2), ["linear"])):
        made = weights(table=(20, 9), linear=(9, 9))
        rank.join(made)
        assert list(rank.factored) == expected
    with pytest.raises(Infeasible, match="no linear weight that learns as a whole"):
        LinearPairs(2, 2).join(weights(table=(20, 9)))


def test_ranks_that_never_pay_are_refused() -> None:
    with pytest.raises(Infeasible, match="no weight that learns as a whole"):
        Pairs(5, 5).join(weights(linear=(9, 9)))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (2, 2, Product(dense_form(9, 2), dense_form(9, 2))),
        (2, 9, Either),
        (1, 4, Product),
    ],
)
def test_ranks_are_priced_from_the_least_to_the_largest(
    low: int, high: int, expected: Form | type
) -> None:
    rank = Pairs(low, high)
    rank.join(weights(linear=(9, 9)))
    (form,) = rank.price({"linear": dense_form(9, 9)}).values()
    if isinstance(expected, type):
        assert isinstance(form, expected)
        assert form.bytes == Interval(4 * 18 * low, 4 * min(18 * high, 81))
    else:
        assert form == expected
