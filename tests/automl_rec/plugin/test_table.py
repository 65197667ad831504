import torch

from automl_rec.plugin import PADDING, Field, PlainTable, TrainableMatrix


def table() -> PlainTable:
    field = Field("item", 6, 3, std=1.0, lookups=2.0, scored=True)
    return PlainTable(field, torch.Generator().manual_seed(0))


def test_lookup_reads_rows_in_any_leading_shape() -> None:
    made = table()
    rows = made.rows()
    ids = torch.tensor([[0, 5], [3, 3]])
    assert torch.equal(made.lookup(ids), rows[ids])
    assert torch.equal(made.lookup(torch.tensor(4)), rows[4])
    assert made.lookup(torch.empty(0, 2, dtype=torch.int64)).shape == (0, 2, 3)


def test_padding_reads_zeros_and_gets_no_gradient() -> None:
    made = table()
    rows = made.lookup(torch.tensor([PADDING, 1]))
    assert rows[0].tolist() == [0.0, 0.0, 0.0]
    rows.sum().backward()
    gradient = made.store.trainable.grad
    assert gradient is not None
    assert gradient.sum(1).tolist() == [0.0, 3.0, 0.0, 0.0, 0.0, 0.0]


def test_score_is_the_product_with_all_rows_trained_or_stored() -> None:
    made, x = table(), torch.arange(24.0).reshape(2, 4, 3)
    expected = x @ made.rows().T
    assert torch.allclose(made.score(x), expected, atol=1e-5)
    made.store.freeze()
    assert torch.allclose(made.score(x), expected, atol=1e-5)


def test_rows_are_differentiable_and_respect_a_mask() -> None:
    made = table()
    matrix = made.store.matrix
    mask = torch.zeros(6, 3)
    mask[2] = 1.0
    assert isinstance(matrix, TrainableMatrix)
    matrix.mask = mask
    made.rows().sum().backward()
    gradient = made.store.trainable.grad
    assert gradient is not None
    assert torch.equal(gradient, mask)


def test_a_plain_table_stores_any_rows_exactly() -> None:
    made, rows = table(), torch.arange(18.0).reshape(6, 3)
    assert made.exact
    made.assign(rows)
    assert torch.equal(made.rows(), rows)


def test_the_store_knows_how_often_it_is_read() -> None:
    (weight,) = table().weights()
    assert weight.name == "item.store"
    assert weight.role == "table"
    assert (weight.use.products, weight.use.rows) == (1.0, 2.0)
