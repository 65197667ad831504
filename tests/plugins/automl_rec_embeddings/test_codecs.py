import pytest
import torch

from automl_rec.plugin import Field, Precision, Table
from automl_rec_embeddings.full import Full


def frozen(precision: Precision) -> Table:
    embedding = Full(precision)
    table = embedding.table(Field("item", 50, 16), torch.Generator().manual_seed(0))
    for weight in table.weights():
        weight.freeze()
    embedding.encode(table)
    return table


@pytest.mark.parametrize(
    ("precision", "stored", "size"),
    [
        ("fp32", torch.float32, 50 * 16 * 4),
        ("fp16", torch.float16, 50 * 16 * 2),
        ("int8", torch.int8, 50 * 16 + 50 * 4),
    ],
)
def test_tables_are_stored_in_the_precision_asked_for(
    precision: Precision, stored: torch.dtype, size: int
) -> None:
    state = frozen(precision).state_dict()
    assert state["store.matrix.values"].dtype == stored
    assert sum(tensor.nbytes for tensor in state.values()) == size


def test_int8_rows_err_by_half_a_step_at_most() -> None:
    exact, rounded = frozen("fp32").rows(), frozen("int8").rows()
    step = exact.abs().amax(1, keepdim=True) / 127
    assert ((exact - rounded).abs() <= step / 2 * (1 + 1e-4)).all()
    assert not torch.equal(exact, rounded)


def test_fp16_rows_are_the_nearest_halves() -> None:
    assert torch.equal(frozen("fp16").rows(), frozen("fp32").rows().half().float())
