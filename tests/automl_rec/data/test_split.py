"""Splits against hand-worked values, slow references and properties."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from automl_rec.data.filters import without_duplicates
from automl_rec.data.interactions import Interactions, Vocabulary
from automl_rec.data.request import SplitRequest
from automl_rec.data.split import (
    REVEALED,
    TEST,
    TRAIN,
    VALIDATION,
    assign_parts,
    leave_last_out,
    random_holdout,
    resolve_kind,
    temporal,
)
from automl_rec.errors import DataError

KINDS = ("leave-last-out", "random", "temporal", "user-disjoint", "given")


def vocabulary(size: int) -> Vocabulary:
    return Vocabulary(pl.Series("id", [str(n) for n in range(size)]))


def events_of(
    rows: Sequence[tuple[int, int, float]],
    parts: list[int] | None = None,
    *,
    ordered: bool = True,
) -> Interactions:
    """Events of (user, item, time) rows, which are sorted as the reader does."""
    order = sorted(range(len(rows)), key=lambda n: (rows[n][0], rows[n][2], n))
    user, item, time = (np.array([rows[n][c] for n in order]) for c in range(3))
    return Interactions(
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        users=vocabulary(int(user.max()) + 1),
        items=vocabulary(int(item.max()) + 1),
        time=time.astype(np.float64) if ordered else None,
        part=None if parts is None else np.array(parts, np.int8)[order],
        ordered=ordered,
    )


EVENTS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 20)), min_size=6, max_size=80
)


@st.composite
def unique_events(draw: st.DrawFn, *, given_parts: bool) -> Interactions:
    rows = draw(EVENTS)
    parts = None
    if given_parts:
        parts = draw(st.lists(st.sampled_from([0, 0, 1, 2]), min_size=len(rows)))[: len(rows)]
    events = events_of(rows, parts)
    return events.take(without_duplicates(events, "first")).compact()


def test_leave_last_out_breaks_ties_by_row_and_keeps_short_users_in_train() -> None:
    rows = [(0, 4, 9), (0, 1, 5), (0, 2, 9), (0, 3, 1), (1, 1, 1), (1, 2, 2), (2, 1, 1)]
    events = events_of([(u, i, float(t)) for u, i, t in rows])
    # user 0 in time order: item 3, 1, then 4 and 2 at time 9 in file order
    assert events.item.tolist() == [3, 1, 4, 2, 1, 2, 1]
    assert leave_last_out(events).tolist() == [0, 0, VALIDATION, TEST, 0, 0, 0]


@given(events=unique_events(given_parts=False))
def test_leave_last_out_equals_a_slow_reference(events: Interactions) -> None:
    expected = []
    for user in range(len(events.users)):
        number = int((events.user == user).sum())
        held = [VALIDATION, TEST] if number >= 3 else []
        expected += [TRAIN] * (number - len(held)) + held
    assert leave_last_out(events).tolist() == expected


@pytest.mark.slow
@given(events=unique_events(given_parts=False), seed=st.integers(0, 5))
def test_random_holdout_takes_the_rounded_share_of_each_user(
    events: Interactions, seed: int
) -> None:
    split = SplitRequest("random", validation=0.2, test=0.3)
    parts = random_holdout(events, split, np.random.default_rng(seed))
    for user in range(len(events.users)):
        own = parts[events.user == user]
        n = len(own)
        tested = min(max(round(n * 0.3), 1), n - 2) if n >= 3 else 0
        validated = min(max(round(n * 0.2), 1), n - 1 - tested) if n >= 3 else 0
        assert np.bincount(own, minlength=3).tolist() == [
            n - tested - validated,
            validated,
            tested,
        ]


def test_random_holdout_draws_every_place_alike() -> None:
    rows = [(u, i, float(i)) for u in range(3000) for i in range(10)]
    parts = random_holdout(events_of(rows), SplitRequest("random"), np.random.default_rng(0))
    tested_places = np.bincount(np.flatnonzero(parts == TEST) % 10, minlength=10)
    assert tested_places.sum() == 3000
    # 300 expected at each of the 10 places, standard deviation 16.4
    assert np.abs(tested_places - 300).max() < 5 * 16.4


def test_temporal_split_cuts_at_shares_of_all_events() -> None:
    rows = [(n % 3, n, float(n)) for n in range(20)]
    events = events_of(rows)
    parts = temporal(events, SplitRequest("temporal", validation=0.2, test=0.1))
    by_time = parts[np.argsort(events.item)]
    assert by_time.tolist() == [TRAIN] * 14 + [VALIDATION] * 4 + [TEST] * 2


@pytest.mark.slow
@given(events=unique_events(given_parts=False))
def test_temporal_parts_follow_one_another_without_sharing_a_time(events: Interactions) -> None:
    parts = temporal(events, SplitRequest("temporal"))
    assert events.time is not None
    for earlier, later in ((TRAIN, VALIDATION), (VALIDATION, TEST), (TRAIN, TEST)):
        before, after = events.time[parts == earlier], events.time[parts == later]
        assert not len(before) or not len(after) or before.max() < after.min()


@pytest.mark.parametrize("ordered", [True, False])
def test_user_disjoint_reveals_all_but_the_share_held_out(*, ordered: bool) -> None:
    rows = [(u, i, float(i)) for u in range(20) for i in range(10)]
    events = events_of(rows, ordered=ordered)
    split = SplitRequest("user-disjoint", validation=0.1, test=0.2, holdout=0.3)
    parts = assign_parts(events, split, 0)
    by_user = [tuple(sorted(set(parts[events.user == u].tolist()))) for u in range(20)]
    assert sorted(by_user) == sorted(
        [(TRAIN,)] * 14 + [(VALIDATION, REVEALED)] * 2 + [(TEST, REVEALED)] * 4
    )
    for user in range(20):
        own = parts[events.user == user]
        held = own[own != TRAIN] != REVEALED
        assert len(held) in {0, 10}
        assert held.sum() == (3 if len(held) else 0)
        if ordered and len(held):
            assert held.tolist() == [False] * 7 + [True] * 3


def test_user_disjoint_hides_random_events_where_there_is_no_order() -> None:
    rows = [(u, i, float(i)) for u in range(200) for i in range(10)]
    events = events_of(rows, ordered=False)
    parts = assign_parts(events, SplitRequest("user-disjoint", test=0.5), 0)
    places = set((np.flatnonzero(parts == TEST) % 10).tolist())
    assert places == set(range(10))


def test_given_parts_stay_as_they_are() -> None:
    rows = [(0, 1, 1.0), (0, 2, 2.0), (1, 1, 1.0), (1, 2, 2.0)]
    events = events_of(rows, [0, 1, 2, 0])
    assert assign_parts(events, SplitRequest("given"), 0).tolist() == [0, 1, 2, 0]


def test_given_without_validation_takes_the_last_train_event_of_each_user() -> None:
    rows = [(0, 1, 1.0), (0, 2, 2.0), (0, 3, 3.0), (1, 1, 1.0), (1, 2, 2.0)]
    events = events_of(rows, [0, 0, 2, 0, 2])
    assert assign_parts(events, SplitRequest("given"), 0).tolist() == [0, 1, 2, 0, 2]


def test_given_without_validation_and_times_takes_a_share_of_train() -> None:
    rows = [(u, i, 0.0) for u in range(50) for i in range(30)]
    events = events_of(rows, [2 if i >= 20 else 0 for _ in range(50) for i in range(30)])
    unordered = replace(events, time=None, ordered=False)
    parts = assign_parts(unordered, SplitRequest("given", validation=0.25), 0).reshape(50, 30)
    assert (parts[:, 20:] == TEST).all()
    assert ((parts[:, :20] == VALIDATION).sum(axis=1) == 5).all()
    assert (parts[:, :20] == VALIDATION).any(axis=0).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), seed=st.integers(0, 3))
def test_split_partitions_and_keeps_held_out_items_unknown(
    kind: str, data: st.DataObject, seed: int
) -> None:
    events = data.draw(unique_events(given_parts=kind == "given"))
    split = SplitRequest(kind)  # type: ignore[arg-type]
    try:
        parts = assign_parts(events, split, seed)
    except DataError as error:
        assert "leaves no" in str(error)  # noqa: PT017
        assume(False)
    assert len(parts) == len(events)
    assert set(np.unique(parts)) <= {TRAIN, VALIDATION, TEST, REVEALED}
    assert {TRAIN, VALIDATION, TEST} <= set(np.unique(parts))
    pairs = list(zip(events.user.tolist(), events.item.tolist(), strict=True))
    known = {pair for pair, part in zip(pairs, parts, strict=True) if part in {TRAIN, REVEALED}}
    held_out = {pair for pair, part in zip(pairs, parts, strict=True) if part in {1, 2}}
    assert len(known) + len(held_out) == len(events)
    assert not known & held_out
    np.testing.assert_array_equal(parts, assign_parts(events, split, seed))


@pytest.mark.parametrize("kind", ["random", "user-disjoint"])
def test_another_seed_gives_another_split(kind: str) -> None:
    events = events_of([(u, i, float(i)) for u in range(30) for i in range(10)])
    split = SplitRequest(kind)  # type: ignore[arg-type]
    assert assign_parts(events, split, 0).tolist() != assign_parts(events, split, 1).tolist()


def test_auto_is_given_then_last_then_random() -> None:
    rows = [(0, 1, 1.0), (1, 2, 2.0)]
    assert resolve_kind(events_of(rows, [0, 2]), SplitRequest()) == "given"
    assert resolve_kind(events_of(rows), SplitRequest()) == "leave-last-out"
    assert resolve_kind(events_of(rows, ordered=False), SplitRequest()) == "random"
