import torch

from automl_rec.plugin import Use
from automl_rec_embeddings.row_stores.projected_rows import ProjectedRows
from automl_rec_embeddings.row_stores.stacked_rows import StackedRows
from automl_rec_embeddings.row_stores.stored_rows import StoredRows

WIDTH = 6


def stacked() -> StackedRows:
    generator = torch.Generator().manual_seed(0)
    stores = [
        StoredRows("a", 3, WIDTH, Use()),
        ProjectedRows("b", 5, 2, WIDTH, Use(products=1.0, rows=2.0), generator),
        StoredRows("c", 4, WIDTH, Use()),
    ]
    made = StackedRows(stores)
    made.initialise(0.0, 0.1, generator)
    return made


def test_slots_of_a_store_follow_those_of_the_one_before() -> None:
    made = stacked()
    slots = torch.tensor([11, 0, 3, 7, 2, 8, 3])
    assert made.size == 12
    assert torch.equal(made.read(slots), made.rows()[slots])
    assert torch.equal(made.rows()[:3], made.weights()[0].trainable)
    assert torch.equal(made.rows()[8:], made.weights()[3].trainable)
    assert made.read(torch.empty(0, dtype=torch.int64)).shape == (0, WIDTH)


def test_projected_rows_are_narrow_rows_times_their_projection() -> None:
    made = stacked()
    _, narrow, projection, _ = made.weights()
    assert torch.allclose(made.rows()[3:8], narrow.trainable @ projection.trainable, atol=1e-6)
    assert projection.use.products == 3.0
    assert projection.sensitive


def test_scores_are_products_with_all_rows() -> None:
    made = stacked()
    x = torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(made.score(x), x @ made.rows().T, atol=1e-5)


def test_stores_hold_any_rows_where_they_are_not_projected() -> None:
    made = stacked()
    rows = torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(1))
    made.assign(rows)
    assert not made.exact
    assert torch.equal(made.rows()[:3], rows[:3])
    assert torch.equal(made.rows()[8:], rows[8:])
    tail = torch.linalg.svdvals(rows[3:8])[2:].norm()
    assert torch.allclose((made.rows()[3:8] - rows[3:8]).norm(), tail, rtol=1e-4)
