import pytest
import scipy.sparse as sp
import torch

from automl_rec.plugin import CsrMatrix, DenseMatrix, Interval, TrainableMatrix, Use, Weight


def weight(*, limit: int | None = None) -> Weight:
    return Weight("w", 30, 40, "linear", Use(products=2.0), limit=limit)


def test_a_weight_is_trained_then_stored() -> None:
    made = weight()
    made.initialise(0.5, torch.Generator().manual_seed(0))
    assert isinstance(made.matrix, TrainableMatrix)
    assert 0.45 < made.trainable.std().item() < 0.55
    made.freeze()
    assert isinstance(made.matrix, DenseMatrix)
    with pytest.raises(AssertionError, match="w is no longer under training"):
        _ = made.trainable


def test_equal_generators_give_equal_values() -> None:
    first, second = weight(), weight()
    for made in (first, second):
        made.initialise(1.0, torch.Generator().manual_seed(7))
    assert torch.equal(first.trainable, second.trainable)


def test_on_the_meta_device_nothing_is_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    with torch.device("meta"):
        made = weight()
    made.initialise(1.0, generator)
    assert made.trainable.is_meta
    assert torch.equal(generator.get_state(), state)


def test_assigned_values_are_those_of_the_matrix() -> None:
    made, values = weight(), torch.arange(1200.0).reshape(30, 40)
    made.assign(values)
    assert torch.equal(made.matrix.dense(), values)


def test_a_stored_weight_takes_no_values() -> None:
    made = weight()
    made.freeze()
    with pytest.raises(TypeError, match="a DenseMatrix takes no values"):
        made.assign(torch.zeros(30, 40))


def test_a_limited_weight_is_sparse_from_the_start_and_priced_up_to_its_limit() -> None:
    made = weight(limit=60)
    assert not made.matrix.dense().any()
    assert made.price().bytes.low < made.price().bytes.high
    assert made.price().leaves()[0].entries == Interval(0, 60)
    made.assign(sp.csr_matrix(([3.0], ([2], [5])), (30, 40)))
    assert isinstance(made.matrix, CsrMatrix)
    assert made.matrix.dense()[2, 5] == 3.0
    assert made.price().bytes.low <= made.matrix.form().bytes.low <= made.price().bytes.high


def test_a_dense_weight_is_priced_as_it_is_stored() -> None:
    made = weight()
    priced = made.price()
    made.assign(torch.zeros(30, 40))
    made.freeze()
    assert made.matrix.form() == priced
    assert priced.bytes == Interval(4800, 4800)


def test_a_weight_of_which_a_corner_is_served_is_priced_and_stored_as_that() -> None:
    made, values = weight(), torch.arange(1200.0).reshape(30, 40)
    made.assign(values)
    made.corner = (30, 10)
    priced = made.price()
    assert priced.bytes == Interval(30 * 10 * 4, 30 * 10 * 4)
    assert torch.equal(made.matrix.dense(), values), "while it is trained it is whole"
    made.freeze()
    assert made.matrix.form() == priced
    assert torch.equal(made.matrix.dense()[:, :10], values[:, :10])
    assert not made.matrix.dense()[:, 10:].any()
