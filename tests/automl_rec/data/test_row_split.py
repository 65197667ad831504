import numpy as np
import pytest

from automl_rec.data import SplitRequest
from automl_rec.data.row_split import assign_rows, row_kind
from automl_rec.data.split import TEST, TRAIN, VALIDATION
from automl_rec.errors import DataError


def counts(parts: np.ndarray[tuple[int], np.dtype[np.int8]]) -> list[int]:
    return [int(number) for number in np.bincount(parts, minlength=3)]


def test_random_shares_are_of_rows_and_follow_the_seed() -> None:
    split = SplitRequest("random", validation=0.2, test=0.1)
    first, again, other = (assign_rows(1000, split, seed, None, None) for seed in (0, 0, 1))
    assert counts(first) == [700, 200, 100]
    assert (first == again).all()
    assert (first != other).any()
    places = np.flatnonzero(first == TEST)
    assert 400 < places.mean() < 600


def test_a_share_however_small_has_a_row() -> None:
    parts = assign_rows(3, SplitRequest("random", validation=0.01, test=0.01), 0, None, None)
    assert counts(parts) == [1, 1, 1]


def test_latest_rows_are_tested_with_all_of_their_moment() -> None:
    times = np.array([5.0, 1, 4, 4, 2, 3, 0, 6, 7, 8])
    split = SplitRequest("temporal", validation=0.2, test=0.2)
    parts = assign_rows(10, split, 0, times, None)
    assert sorted(times[parts == TEST]) == [7, 8]
    assert sorted(times[parts == VALIDATION]) == [5, 6]
    tied = assign_rows(10, split, 0, np.minimum(times, 6), None)
    assert sorted(times[tied == TEST]) == [6, 7, 8]


def test_temporal_without_times_says_what_to_map() -> None:
    with pytest.raises(DataError, match=r"no time column was found\. Map it with data\.columns"):
        assign_rows(9, SplitRequest("temporal"), 0, None, None)


def test_given_parts_stay_as_they_are() -> None:
    part = np.array([0, 0, 1, 2], np.int8)
    assert assign_rows(4, SplitRequest(), 0, None, part).tolist() == part.tolist()
    assert row_kind(SplitRequest(), part) == "given"
    assert row_kind(SplitRequest(), None) == "random"


def test_without_a_validation_file_train_gives_its_latest_or_random_rows() -> None:
    part = np.repeat([TRAIN, TEST], [20, 5]).astype(np.int8)
    times = np.random.default_rng(0).permutation(25).astype(float)
    split = SplitRequest(validation=0.25)
    timed = assign_rows(25, split, 0, times, part)
    assert counts(timed) == counts(assign_rows(25, split, 0, None, part)) == [15, 5, 5]
    assert times[timed == VALIDATION].min() > times[timed == TRAIN].max()
    assert (timed[20:] == TEST).all()
    assert assign_rows(25, split, 1, None, part).tolist() != timed.tolist()


def test_an_empty_part_is_refused_with_the_sizes() -> None:
    message = "leaves no train row: 2 rows became 0 train, 1 validation and 1 test"
    with pytest.raises(DataError, match=message):
        assign_rows(2, SplitRequest(), 0, None, None)
