from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.data.batches import batches_of
from automl_rec.data.holding_out import hold_out
from automl_rec.errors import DataError
from automl_rec.plugin import Catalog, Histories, Sampling
from automl_rec.testing.planted import planted_rows, planted_sequences, planted_tiny


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def events(catalog: Catalog) -> list[tuple[int, int]]:
    pairs = zip(catalog.histories.users(), catalog.histories.items, strict=True)
    return [(int(user), int(item)) for user, item in pairs]


@given(share=st.floats(0.01, 0.9), seed=st.integers(0, 99))
def test_every_event_stays_or_is_held_out(share: float, seed: int) -> None:
    catalog = planted_tiny().catalog
    rest, held = hold_out(catalog, Sampling("pairs"), share, generator(seed))
    assert sorted(events(rest) + events(held)) == sorted(events(catalog))
    assert len(events(held)) == max(round(share * len(events(catalog))), 1)
    assert rest.num_users == held.num_users == catalog.num_users


def test_events_of_a_user_stay_in_their_order() -> None:
    planted = planted_sequences().catalog
    times = np.arange(len(planted.histories.items), dtype=np.float64)
    catalog = replace(planted, histories=replace(planted.histories, times=times))
    rest, _ = hold_out(catalog, Sampling("pairs"), 0.3, generator())
    assert rest.histories.times is not None
    owners = rest.histories.users()
    order = np.lexsort((rest.histories.times, owners))
    assert (order == np.arange(len(owners))).all()
    assert set(events(rest)) <= set(events(catalog))


def test_whole_users_are_held_out_where_sequences_are_learnt() -> None:
    catalog = planted_sequences().catalog
    rest, held = hold_out(catalog, Sampling("sequences", length=5), 0.25, generator())
    lengths = catalog.histories.lengths
    assert set(held.histories.lengths) <= {0, *lengths}
    assert (held.histories.lengths + rest.histories.lengths == lengths).all()
    assert (held.histories.lengths > 0).sum() == 100


def test_rows_keep_their_fields_labels_and_groups() -> None:
    catalog = planted_rows(rows=300)[0]
    assert catalog.rows is not None
    rest, held = hold_out(catalog, Sampling("rows"), 0.2, generator())
    assert rest.rows is not None
    assert held.rows is not None
    assert (len(rest.rows), len(held.rows)) == (240, 60)
    whole = sorted(map(tuple, _table(catalog)))
    assert sorted(map(tuple, np.concatenate([_table(rest), _table(held)]))) == whole
    for name, field in catalog.rows.fields.items():
        if field.indptr is not None:
            first, second = rest.rows.fields[name], held.rows.fields[name]
            assert len(first.values) + len(second.values) == len(field.values)
            assert first.indptr is not None
            assert len(first.indptr) == 241


def _table(catalog: Catalog) -> np.ndarray:
    assert catalog.rows is not None
    single = [f.values for f in catalog.rows.fields.values() if f.indptr is None]
    return np.stack([*single, catalog.rows.labels], 1).astype(np.float64)


def test_equal_seeds_hold_out_the_same() -> None:
    catalog = planted_tiny().catalog
    first, second, third = (
        events(hold_out(catalog, Sampling("pairs"), 0.1, generator(seed))[1]) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != third


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_neither_part_is_ever_empty(share: float) -> None:
    for batch in ("pairs", "sequences"):
        parts = hold_out(planted_tiny().catalog, Sampling(batch), share, generator())
        assert all(len(part.histories.items) for part in parts)


def test_a_held_out_user_has_a_sequence_whoever_else_has_none() -> None:
    indptr = np.array([0, *range(1, 40), 42, 45])  # 39 users met one item, the last two more
    histories = Histories(indptr, np.arange(45, dtype=np.int32))
    sampling = Sampling("sequences", length=5)
    for seed in range(5):
        _, held = hold_out(Catalog(45, histories), sampling, 0.1, generator(seed))
        assert len(batches_of(held, sampling, 8)) == 1


def test_nothing_to_draw_from_is_refused() -> None:
    histories = Histories(np.array([0, 1, 4]), np.arange(4, dtype=np.int32))
    with pytest.raises(DataError, match="at least 2 events, sequences or rows, got 1"):
        hold_out(Catalog(4, histories), Sampling("sequences", length=5), 0.5, generator())
