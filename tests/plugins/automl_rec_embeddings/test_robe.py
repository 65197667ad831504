import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Field, Infeasible, PlainTable, Precision, Table, Weight
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.robe import Robe

USER = Field("user", 90, 12, counts=np.arange(90))
ITEM = Field("item", 60, 10, counts=np.arange(60)[::-1].copy(), lookups=3.0, scored=True)
FULL = (90 * 12 + 60 * 10) * 4
PRIME = 2038074743


def robe(
    budget: float | None = None,
    size: float | None = None,
    chunk_size: int = 4,
    precision: Precision = "fp32",
) -> Robe:
    return Robe(chunk_size, precision, "size" if budget is None else "budget", budget, size)


def tables(embedding: Robe, *fields: Field, seed: int = 0) -> dict[str, Table]:
    named = {field.name: field for field in fields}
    embedding.adopt(embedding.plan(named, planted_tiny().catalog))
    drawn = torch.Generator().manual_seed(seed)
    return {name: embedding.table(field, drawn) for name, field in named.items()}


def array(made: dict[str, Table]) -> Weight:
    (weight,) = (weight for table in made.values() for weight in table.weights())
    return weight


def coefficients(made: dict[str, Table]) -> list[list[int]]:
    found: list[list[int]] = made["user"].state_dict()["stores.0.array.coefficients"].tolist()
    return found


def held(made: dict[str, Table]) -> int:
    return sum(t.nbytes for table in made.values() for t in table.state_dict().values())


def read(made: dict[str, Table], number: int, field: Field, piece: int) -> tuple[Tensor, Tensor]:
    """Places and signs of all rows, by Python's own integers."""
    (a, b, c, d), (e, f, g, h) = coefficients(made)
    size = array(made).rows * array(made).columns
    places = [
        [
            (a * number + b * x + c * (j // piece) + d) % PRIME % (size - piece + 1) + j % piece
            for j in range(field.width)
        ]
        for x in range(field.num_rows)
    ]
    signs = [
        [1 - 2 * ((e * number + f * x + g * j + h) % PRIME % 2) for j in range(field.width)]
        for x in range(field.num_rows)
    ]
    return torch.tensor(places), torch.tensor(signs)


@pytest.mark.parametrize("piece", [1, 4])
def test_rows_are_signed_pieces_of_the_one_array(piece: int) -> None:
    made = tables(robe(size=0.1, chunk_size=piece), USER, ITEM)
    flat = array(made).trainable.detach().reshape(-1)
    for number, field in enumerate((USER, ITEM)):
        places, signs = read(made, number, field, piece)
        assert places.max() < len(flat)
        assert torch.equal(made[field.name].rows(), flat[places] * signs)


def test_a_piece_as_long_as_a_row_is_contiguous() -> None:
    made = tables(robe(size=0.1, chunk_size=64), USER, ITEM)
    places, _ = read(made, 0, USER, 12)
    assert (places.diff(dim=1) == 1).all()
    flat = array(made).trainable.detach().reshape(-1)
    assert torch.equal(made["user"].rows().abs(), flat[places].abs())


def test_the_array_has_the_numbers_asked_for() -> None:
    made = tables(robe(size=0.1), USER, ITEM)
    assert array(made).trainable.numel() == 14 * 12  # a tenth of 1680 numbers, in rows of 12
    assert held(made) == 14 * 12 * 4 + 64
    assert made["item"].weights() == ()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("budget", [0.03, 0.1, 0.2])
def test_a_budget_is_used_but_for_a_row(budget: float, precision: Precision) -> None:
    embedding = robe(budget, precision=precision)
    made = tables(embedding, USER, ITEM)
    array(made).freeze()
    embedding.encode(made["user"])
    assert int(budget * FULL) - 12 * 4 < held(made) <= budget * FULL


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_rounded_array_is_read_at_its_rounded_values(precision: Precision) -> None:
    embedding = robe(0.2, precision=precision)
    made = tables(embedding, USER, ITEM)
    array(made).freeze()
    embedding.encode(made["user"])
    flat = array(made).matrix.dense().reshape(-1)
    places, signs = read(made, 1, ITEM, 4)
    assert torch.equal(made["item"].rows(), flat[places] * signs)


def test_compression_leaves_the_array_alone() -> None:
    assert array(tables(robe(0.25), USER, ITEM)).sensitive


def test_the_same_id_reads_other_places_in_another_table() -> None:
    made = tables(robe(0.25), USER, ITEM)
    places = [read(made, number, ITEM, 4)[0] for number in (0, 1)]
    assert (places[0] != places[1]).any(dim=1).all()


def test_slopes_are_scattered_to_the_places_read() -> None:
    made = tables(robe(0.1), USER, ITEM)
    ids = torch.tensor([5, 8, 5])
    weights = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    (made["item"].lookup(ids) * weights).sum().backward()
    places, signs = read(made, 1, ITEM, 4)
    expected = torch.zeros(array(made).trainable.numel())
    for place, slope in zip(
        places[ids].reshape(-1), (weights * signs[ids]).reshape(-1), strict=True
    ):
        expected[place] += slope
    slopes = array(made).trainable.grad
    assert slopes is not None
    assert torch.allclose(slopes.reshape(-1), expected, atol=1e-6)


def test_values_are_the_least_squares_fit_to_every_table() -> None:
    made = tables(robe(0.2), USER, ITEM)
    drawn = torch.Generator().manual_seed(3)
    designs, targets = [], []
    made["user"].assign(torch.zeros(90, 12))  # is replaced by what comes later
    for number, field in enumerate((USER, ITEM)):
        wanted = torch.randn(field.num_rows, field.width, generator=drawn)
        made[field.name].assign(wanted)
        places, signs = read(made, number, field, 4)
        assert field.counts is not None
        root = torch.from_numpy(1.0 + field.counts).sqrt()[:, None]
        design = torch.zeros(places.numel(), array(made).trainable.numel(), dtype=torch.float64)
        design.scatter_(1, places.reshape(-1, 1), (root * signs).double().reshape(-1, 1))
        designs.append(design)
        targets.append((root * wanted).double().reshape(-1))
    found = torch.linalg.lstsq(torch.cat(designs), torch.cat(targets), driver="gelsd").solution
    values = array(made).trainable.detach().reshape(-1).double()
    touched = torch.cat(designs).any(dim=0)
    assert torch.allclose(values[touched], found[touched], atol=1e-4)


def test_scoring_costs_the_rows_that_are_kept() -> None:
    made = tables(robe(0.25), USER, ITEM)
    assert made["item"].operations() == 3 * (2 * 10 + 3) + 60 * 10  # signs and hashes of 3 pieces
    assert array(made).use.products == 0
    assert array(made).use.rows == 1 + 3


def test_an_array_that_saves_nothing_leaves_tables_full() -> None:
    assert all(isinstance(t, PlainTable) for t in tables(robe(size=1.0), USER, ITEM).values())


def test_budgets_out_of_reach_are_refused() -> None:
    with pytest.raises(Infeasible, match="Raise"):
        tables(robe(0.01), USER, ITEM)
    with pytest.raises(Infeasible, match="Lower"):
        tables(robe(1.0, precision="int8"), USER, ITEM)
