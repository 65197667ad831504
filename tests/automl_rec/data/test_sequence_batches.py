from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec.data.sequence_batches import SHORTEST_CUT, SequenceBatches
from automl_rec.plugin import PADDING, Catalog, Histories, Sampling, Sequences

THREE_USERS = Histories(
    np.array([0, 4, 5, 8]), np.array([5, 1, 3, 1, 2, 0, 2, 4], np.int32)
)  # 5 1 3 1, 2, 0 2 4
CATALOG = Catalog(6, THREE_USERS)


def catalog_of(lengths: list[int]) -> Catalog:
    """Users who met the items 0, 1, 2, ... in this order, so an item tells its place."""
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    items = np.concatenate([np.arange(length) for length in lengths]).astype(np.int32)
    return Catalog(max(lengths), Histories(indptr, items))


def epoch(catalog: Catalog, size: int = 64, seed: int = 0, **sampling: Any) -> list[Sequences]:
    asked = Sampling("sequences", **{"negatives": 0, "length": 50} | sampling)
    batches = SequenceBatches(catalog, asked, size)
    found = list(batches.epoch(torch.Generator().manual_seed(seed)))
    assert len(found) == len(batches)
    return found


def windows(batches: list[Sequences]) -> list[tuple[int, list[int], list[int]]]:
    """User, history and targets of every window, padding left out."""
    return [
        (int(user), history[history >= 0].tolist(), targets[targets >= 0].tolist())
        for batch in batches
        for user, history, targets in zip(batch.users, batch.histories, batch.targets, strict=True)
    ]


def test_windows_lie_end_to_end_and_hold_what_followed_each_place() -> None:
    (batch,) = epoch(CATALOG, negatives=2, length=2)
    found = sorted(windows([batch]))
    assert found == [(0, [1, 3], [3, 1]), (0, [5], [1]), (2, [0, 2], [2, 4])]
    assert batch.negatives.shape == (3, 2, 2)
    drawn = batch.negatives[batch.users == 0].flatten()
    assert not set(drawn.tolist()) & {5, 1, 3}  # padding alone is neither
    assert torch.equal((batch.negatives >= 0).all(2), batch.targets >= 0)


def test_short_sequences_are_padded_on_the_left_no_wider_than_needed() -> None:
    (batch,) = epoch(CATALOG, length=50)
    row = batch.users.tolist().index(2)
    assert batch.histories[row].tolist() == [PADDING, 0, 2]
    assert batch.targets[row].tolist() == [PADDING, 2, 4]


@given(
    lengths=st.lists(st.integers(0, 23), min_size=1, max_size=9).filter(lambda n: max(n) > 1),
    length=st.integers(1, 9),
    size=st.integers(1, 7),
)
def test_every_item_but_the_first_is_a_target_once(
    lengths: list[int], length: int, size: int
) -> None:
    met: Counter[tuple[int, int]] = Counter()
    for user, history, targets in windows(epoch(catalog_of(lengths), size, length=length)):
        assert targets == [item + 1 for item in history]
        assert history == list(range(history[0], history[-1] + 1))
        assert len(history) <= length
        met.update((user, target) for target in targets)
    expected = {(user, item) for user, n in enumerate(lengths) for item in range(1, n)}
    assert met == Counter(expected)


def test_drawn_by_user_each_has_one_full_window_anywhere() -> None:
    catalog = catalog_of([9, 1, 3])
    found = [windows(epoch(catalog, seed=seed, length=4, draw="user")) for seed in range(300)]
    assert all(sorted(user for user, _, _ in each) == [0, 2] for each in found)
    ends = Counter(targets[-1] for each in found for user, _, targets in each if user == 0)
    assert ends.keys() == {4, 5, 6, 7, 8}
    assert max(ends.values()) - min(ends.values()) < 45  # 4 standard deviations
    assert all(
        len(history) == (4 if user == 0 else 2) for each in found for user, history, _ in each
    )


def test_cut_by_user_a_sequence_has_one_target_at_a_random_place() -> None:
    catalog = catalog_of([9, 1, 3])
    found = [
        window
        for seed in range(300)
        for window in windows(epoch(catalog, seed=seed, length=6, cut=True, draw="user"))
    ]
    ends = Counter(targets[0] for user, _, targets in found if user == 0)
    assert ends.keys() == set(range(SHORTEST_CUT, 9))
    assert max(ends.values()) - min(ends.values()) < 45
    for user, history, targets in found:
        (target,) = targets
        assert history == list(range(max(0, target - 6), target))
        assert user == 0 or target == 2  # too short for a choice


def test_cut_by_edge_every_item_is_a_target_but_the_first_few() -> None:
    found = windows(epoch(catalog_of([9, 1, 3]), 4, length=6, cut=True))
    assert sorted((user, targets) for user, _, targets in found) == [
        *((0, [target]) for target in range(SHORTEST_CUT, 9)),
        (2, [2]),
    ]


def test_a_cut_sequence_has_negatives_of_its_one_target() -> None:
    (batch,) = epoch(catalog_of([9, 1, 3]), cut=True, negatives=5)
    assert batch.negatives.shape == (len(batch.users), 1, 5)
    shared = epoch(catalog_of([9]), cut=True, negatives=5, sampler="uniform", shared=True)
    assert shared[0].negatives.shape == (5,)


@pytest.mark.parametrize("cut", [False, True])
def test_a_horizon_draws_targets_uniformly_from_the_next_items(*, cut: bool) -> None:
    catalog = catalog_of([8])
    pairs: Counter[tuple[int, int]] = Counter()
    for seed in range(400):
        for batch in epoch(catalog, seed=seed, horizon=3, cut=cut, length=10):
            known = batch.targets >= 0
            seen = zip(batch.histories[known].tolist(), batch.targets[known].tolist(), strict=True)
            pairs.update(seen)
    places = range(SHORTEST_CUT - 1 if cut else 0, 7)
    expected = {(place, place + step) for place in places for step in (1, 2, 3) if place + step < 8}
    assert pairs.keys() == expected
    for place in places:
        counts = [count for (start, _), count in pairs.items() if start == place]
        assert max(counts) - min(counts) < 60  # of 400: about 4 standard deviations


def test_equal_seeds_give_equal_epochs_and_others_differ() -> None:
    catalog = catalog_of([30, 20, 25])

    def drawn(seed: int) -> list[Tensor]:
        (batch,) = epoch(catalog, seed=seed, cut=True, draw="user", negatives=3, horizon=2)
        return [batch.users, batch.histories, batch.targets, batch.negatives]

    assert all(torch.equal(a, b) for a, b in zip(drawn(1), drawn(1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn(1), drawn(2), strict=True))


def test_histories_are_read_from_memory_that_must_not_be_written() -> None:
    items = THREE_USERS.items.copy()
    items.setflags(write=False)
    catalog = Catalog(6, Histories(THREE_USERS.indptr, items))
    assert len(epoch(catalog, length=4, horizon=2)) == 1
