import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_rec.data.batches import batches_of
from automl_rec.data.row_batches import rows_of, unlabelled
from automl_rec.plugin import PADDING, Catalog, Feature, Histories, Rows, RowTable, Sampling
from automl_rec.testing.planted import planted_rows

NOBODY = Histories(np.zeros(1, np.int64), np.empty(0, np.int32))


def table(lengths: list[int]) -> RowTable:
    """Rows told apart by every one of their fields; row r has ``lengths[r]`` tags."""
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(len(lengths))
    return RowTable(
        {
            "id": Feature("categorical", rows.astype(np.int32), len(rows)),
            "tags": Feature("multi", np.repeat(rows, lengths).astype(np.int32), len(rows), indptr),
            "price": Feature("numeric", (rows / 2).astype(np.float32)),
        },
        (rows % 2).astype(np.float32),
    )


def check(batch: Rows, lengths: list[int]) -> list[int]:
    """The rows of a batch, which must hold together."""
    ids = batch.fields["id"].tolist()
    longest = max(1, *(lengths[row] for row in ids))
    for place, row in enumerate(ids):
        tags = [row] * lengths[row]
        assert batch.fields["tags"][place].tolist() == tags + [PADDING] * (longest - len(tags))
        assert batch.fields["price"][place] == row / 2
        assert batch.labels is None or batch.labels[place] == row % 2
    return ids


@settings(max_examples=50)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    size=st.integers(1, 50),
    seed=st.integers(0, 3),
)
def test_an_epoch_meets_every_row_once_with_all_its_fields(
    lengths: list[int], size: int, seed: int
) -> None:
    batches = batches_of(Catalog(0, NOBODY, rows=table(lengths)), Sampling("rows"), size)
    drawn = list(batches.epoch(torch.Generator().manual_seed(seed)))
    met = [row for batch in drawn if isinstance(batch, Rows) for row in check(batch, lengths)]
    assert sorted(met) == list(range(len(lengths)))
    assert len(drawn) == len(batches)
    assert all(isinstance(batch, Rows) and len(batch) == size for batch in drawn[:-1])


def test_epochs_differ_but_equal_seeds_give_equal_epochs() -> None:
    batches = batches_of(planted_rows()[0], Sampling("rows"), 4000)

    def first(generator: torch.Generator) -> list[float]:
        (batch,) = batches.epoch(generator)
        assert isinstance(batch, Rows)
        return batch.fields["price"].tolist()

    generator = torch.Generator().manual_seed(1)
    orders = first(generator), first(generator), first(torch.Generator().manual_seed(1))
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_values_have_the_types_that_models_expect() -> None:
    rows = rows_of(table([1, 2, 0]), 0, 3)
    assert {name: values.dtype for name, values in rows.fields.items()} == {
        "id": torch.int64,
        "tags": torch.int64,
        "price": torch.float32,
    }
    assert rows.labels is not None
    assert rows.labels.dtype == torch.float32


def test_rows_come_in_order_and_end_with_the_table() -> None:
    lengths = [2, 0, 1, 3, 0]
    held_out = table(lengths)
    assert check(rows_of(held_out, 1, 4), lengths) == [1, 2, 3]
    assert check(rows_of(held_out, 4, 100), lengths) == [4]
    plain = unlabelled(held_out.fields, 0, 2)
    assert plain.labels is None
    assert check(plain, lengths) == [0, 1]


def test_rows_without_any_value_keep_a_place_for_one() -> None:
    assert rows_of(table([0, 0]), 0, 2).fields["tags"].tolist() == [[PADDING], [PADDING]]


@pytest.mark.parametrize("writeable", [True, False])
def test_batches_never_share_memory_with_the_table(*, writeable: bool) -> None:
    held_out = table([1, 1])
    held_out.labels.setflags(write=writeable)
    rows = rows_of(held_out, 0, 2)
    assert rows.labels is not None
    rows.labels.add_(5)
    assert held_out.labels.tolist() == [0, 1]
