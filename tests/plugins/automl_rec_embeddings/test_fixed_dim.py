import pytest
import torch

from automl_rec.plugin import Field, PlainTable, Table
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.fixed_dim import FixedDim
from automl_rec_embeddings.full import Full

IDS, WIDTH = 100, 12
FIELD = Field("item", IDS, WIDTH, scored=True, lookups=2.0)


def table(width: int) -> Table:
    embedding = FixedDim("fp32", "width", width=width)
    embedding.adopt(embedding.plan({"item": FIELD}, planted_tiny().catalog))
    return embedding.table(FIELD, torch.Generator().manual_seed(0))


def test_narrow_rows_and_a_projection_are_stored() -> None:
    store, projection = table(3).weights()
    assert (store.rows, store.columns) == (IDS, 3)
    assert (projection.rows, projection.columns) == (3, WIDTH)
    assert projection.sensitive
    assert not store.sensitive
    assert projection.role == "table", "its bytes are those of the table"


def test_rows_are_stored_rows_times_the_projection() -> None:
    made = table(3)
    store, projection = made.weights()
    assert torch.allclose(made.rows(), store.trainable @ projection.trainable, atol=1e-6)


def test_a_width_that_saves_nothing_gives_a_full_table_bit_for_bit() -> None:
    full = Full("fp32").table(FIELD, torch.Generator().manual_seed(0))
    for width in (11, 12, 64):
        made = table(width)
        assert isinstance(made, PlainTable)
        assert torch.equal(made.rows(), full.rows())
    assert isinstance(table(10), ComposedTable)


def test_assigned_rows_are_stored_as_their_truncated_svd() -> None:
    rows = torch.randn(IDS, WIDTH, generator=torch.Generator().manual_seed(1))
    tail = torch.linalg.svdvals(rows.double())[3:].square().sum().sqrt().item()
    made = table(3)
    made.assign(rows)
    assert (made.rows().double() - rows.double()).norm().item() == pytest.approx(tail, rel=1e-6)


def test_rows_of_low_rank_are_stored_exactly() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(IDS, 3, generator=generator) @ torch.randn(3, WIDTH, generator=generator)
    made = table(3)
    made.assign(rows)
    assert torch.allclose(made.rows(), rows, atol=1e-5)
    assert not made.exact, "it cannot store any rows"


def test_rows_start_with_the_deviation_of_the_field() -> None:
    assert table(6).rows().std().item() == pytest.approx(FIELD.std, rel=0.2)


def test_scoring_pulls_the_query_back_once() -> None:
    store, projection = table(3).weights()
    assert store.use.products == 1.0
    assert projection.use.products == 3.0  # once to score, once for each of two rows read
