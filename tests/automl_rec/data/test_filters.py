"""Filters against hand-worked values and slow references."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.data import DataRequest
from automl_rec.data.filters import above_threshold, filtered, in_core, without_duplicates
from automl_rec.data.interactions import Interactions, Vocabulary
from automl_rec.data.request import Kept

PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=60)


def events_of(
    pairs: list[tuple[int, int]], parts: list[int] | None = None, labels: list[float] | None = None
) -> Interactions:
    """Events of (user, item) pairs, sorted by user as the reader does."""
    order = sorted(range(len(pairs)), key=lambda n: pairs[n][0])
    ids = Vocabulary(pl.Series("id", [str(n) for n in range(8)]))
    return Interactions(
        user=np.array([pairs[n][0] for n in order], np.int32),
        item=np.array([pairs[n][1] for n in order], np.int32),
        users=ids,
        items=ids,
        part=None if parts is None else np.array([parts[n] for n in order], np.int8),
        label=None if labels is None else np.array([labels[n] for n in order], np.float32),
    )


def slow_core(pairs: list[tuple[int, int]], least: int) -> list[tuple[int, int]]:
    while True:
        users, items = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
        kept = [(u, i) for u, i in pairs if users[u] >= least and items[i] >= least]
        if kept == pairs:
            return pairs
        pairs = kept


def test_threshold_keeps_labels_equal_to_it() -> None:
    events = events_of([(0, 0), (0, 1), (1, 0)], labels=[3.9, 4.0, 4.1])
    assert above_threshold(events, 4.0).tolist() == [False, True, True]


@pytest.mark.parametrize(("kept", "mask"), [("first", [1, 1, 0, 0]), ("last", [0, 1, 0, 1])])
def test_first_or_last_of_equal_pairs_is_kept(kept: Kept, mask: list[int]) -> None:
    events = events_of([(0, 5), (0, 3), (0, 5), (0, 5)])
    assert without_duplicates(events, kept).tolist() == [bool(m) for m in mask]


@pytest.mark.parametrize("kept", ["first", "last"])
def test_pair_known_from_an_earlier_part_is_not_predicted(kept: Kept) -> None:
    events = events_of([(0, 5), (0, 5), (0, 6), (0, 6), (0, 7)], parts=[2, 0, 2, 1, 2])
    assert without_duplicates(events, kept).tolist() == [False, True, False, True, True]


@given(pairs=PAIRS, least=st.integers(1, 4))
def test_core_equals_a_slow_reference(pairs: list[tuple[int, int]], least: int) -> None:
    events = events_of(pairs)
    mask = in_core(events, least)
    found = list(zip(events.user[mask].tolist(), events.item[mask].tolist(), strict=True))
    assert found == slow_core(sorted(pairs, key=lambda p: p[0]), least)


def test_core_needs_more_than_one_round() -> None:
    # Item 3 goes first, then user 2 has one event left, then item 2 has.
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3)]
    assert in_core(events_of(pairs), 2).tolist() == [True] * 4 + [False] * 3


@given(pairs=PAIRS)
def test_duplicates_leave_each_pair_once(pairs: list[tuple[int, int]]) -> None:
    events = events_of(pairs)
    kept = events.take(without_duplicates(events, "first"))
    found = list(zip(kept.user.tolist(), kept.item.tolist(), strict=True))
    assert sorted(found) == sorted(set(pairs))


def test_every_step_is_counted_and_numbers_have_no_gaps() -> None:
    pairs = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 1), (5, 7), (6, 3)]
    labels = [1.0, 1, 1, 1, 1, 1, 0]
    request = DataRequest(path=str(Path("unused")), threshold=1, k_core=2)
    events, steps = filtered(events_of(pairs, labels=labels), request)
    assert [(s.step, s.events, s.users, s.items) for s in steps] == [
        ("read", 7, 4, 4),
        ("label >= 1", 6, 3, 3),
        ("duplicates", 5, 3, 3),
        ("2-core", 4, 2, 2),
    ]
    assert events.user.tolist() == [0, 0, 1, 1]
    assert events.item.tolist() == [0, 1, 0, 1]
    assert events.users.values.to_list() == ["0", "2"]
    assert events.items.values.to_list() == ["0", "1"]
