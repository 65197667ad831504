"""Acme's components: the contract of their kinds, then what is their own."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from acme_recs.best_of_row import BestOfRow
from acme_recs.fading_memory import FadingMemory

from automl_rec.plugin import (
    Catalog,
    DenseMatrix,
    Histories,
    Interval,
    Layers,
    Requests,
    Use,
    Weight,
    dense_form,
)
from automl_rec.testing import ModelTests, SparsityTests


class TestFadingMemory(ModelTests):
    name = "acme-fading-memory"


class TestBestOfRow(SparsityTests):
    name = "acme-best-of-row"
    neutral: ClassVar = {"entries": 512}


def fitted(*, fading: float, length: int, neighbours: int) -> FadingMemory:
    """The model of two users, who met items 0, 1 and items 1, 2."""
    histories = Histories(np.array([0, 2, 4]), np.array([0, 1, 1, 2], np.int32))
    catalog = Catalog(3, histories)
    layers = Layers(catalog, torch.Generator())
    model = FadingMemory(catalog, layers, fading=fading, length=length, neighbours=neighbours)
    model.fit(catalog, torch.Generator())
    return model


def request(items: list[int]) -> Requests:
    return Requests(torch.tensor([0]), torch.tensor([0, len(items)]), torch.tensor(items))


COSINE = 0.5**0.5
"""Of items 0 and 1, and of items 1 and 2; items 0 and 2 have no user in common."""


@pytest.mark.parametrize(
    ("items", "length", "expected"),
    [
        ([0], 5, [0, COSINE, 0]),
        ([0, 1], 5, [COSINE, 0.5 * COSINE, COSINE]),
        ([0, 1], 1, [COSINE, 0, COSINE]),
        ([1, 1], 5, [1.5 * COSINE, 0, 1.5 * COSINE]),
    ],
)
def test_every_later_event_halves_what_an_item_counts(
    items: list[int], length: int, expected: list[float]
) -> None:
    scores = fitted(fading=0.5, length=length, neighbours=5).scores(request(items))
    assert torch.allclose(scores, torch.tensor([expected]))


def test_of_equally_near_neighbours_the_first_stays() -> None:
    scores = fitted(fading=1.0, length=5, neighbours=1).scores(request([1]))
    assert torch.allclose(scores, torch.tensor([[COSINE, 0, 0]]))


def test_the_largest_entries_of_every_row_stay() -> None:
    weight = Weight("hidden", 2, 3, "linear", Use())
    weight.matrix = DenseMatrix(torch.tensor([[1.0, -3, 2], [5, 5, 5]]))
    priced = BestOfRow(2).price({"hidden": weight.matrix.form()})["hidden"]
    BestOfRow(2).compress({"hidden": weight})
    assert weight.matrix.dense().tolist() == [[0, -3, 2], [5, 5, 0]]
    assert priced == weight.matrix.form()


@pytest.mark.parametrize(("columns", "entries"), [(4, 2), (4, 9)])
def test_a_sparse_weight_stays_within_its_price(columns: int, entries: int) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        values = generator.normal(size=(5, columns)) * generator.integers(0, 2, (5, columns))
        present = int(np.count_nonzero(values))
        weight = Weight("similar", 5, columns, "item-item", Use(), limit=present)
        form = dense_form(5, columns).kept(Interval(present, present))
        weight.matrix = DenseMatrix(torch.from_numpy(values.astype(np.float32)))
        BestOfRow(entries).compress({"similar": weight})
        left = int(weight.matrix.dense().count_nonzero())
        (priced,) = BestOfRow(entries).price({"similar": form})["similar"].leaves()
        assert priced.entries.low <= left <= priced.entries.high
        assert left == np.minimum(np.count_nonzero(values, axis=1), entries).sum()
