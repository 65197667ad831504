"""Which events are trained on, validated on and tested on."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from automl_rec.data.interactions import Interactions
from automl_rec.data.request import SplitRequest
from automl_rec.errors import DataError

Parts = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int64]
ResolvedKind = Literal["given", "leave-last-out", "random", "temporal", "user-disjoint"]

TRAIN, VALIDATION, TEST, REVEALED = range(4)
"""Numbers of the parts; revealed events are known of a user who is not trained on."""


def resolve_kind(events: Interactions, split: SplitRequest) -> ResolvedKind:
    """The kind of split that ``auto`` stands for with these events."""
    if split.kind != "auto":
        return split.kind
    if events.part is not None:
        return "given"
    return "leave-last-out" if events.ordered else "random"


def assign_parts(events: Interactions, split: SplitRequest, seed: int) -> Parts:
    """(E,) the part of every event.

    Args:
        events: sorted by user, then time, without duplicates.
        split: kind and shares.
        seed: of the random kinds.

    Raises:
        DataError: the events have no times where the kind needs them, or a part stays empty.
    """
    kind = resolve_kind(events, split)
    generator = np.random.default_rng(seed)
    match kind:
        case "leave-last-out":
            parts = leave_last_out(events)
        case "random":
            parts = random_holdout(events, split, generator)
        case "temporal":
            parts = temporal(events, split)
        case "user-disjoint":
            parts = user_disjoint(events, split, generator)
        case "given":
            parts = given(events, split, generator)
    _check_filled(parts, events, kind)
    return parts


def leave_last_out(events: Interactions) -> Parts:
    """Each user's last event is test, the one before validation; under 3 events all is train.

    Raises:
        DataError: the events have no order in time.
    """
    if not events.ordered:
        raise DataError(
            "Split leave-last-out needs times and no time column was found. "
            "Map it with data.columns.time, or use split: {kind: random}."
        )
    lengths, _, from_end = _places(events)
    parts = np.zeros(len(events), np.int8)
    long_enough = lengths[events.user] >= 3
    parts[long_enough & (from_end == 0)] = TEST
    parts[long_enough & (from_end == 1)] = VALIDATION
    return parts


def random_holdout(
    events: Interactions, split: SplitRequest, generator: np.random.Generator
) -> Parts:
    """A share of each user's events, at least one, for each part; under 3 events all is train."""
    lengths, _, from_end = _places(events)
    tested = np.clip(np.rint(lengths * split.test), 1, np.maximum(lengths - 2, 1))
    validated = np.clip(np.rint(lengths * split.validation), 1, np.maximum(lengths - 1 - tested, 1))
    tested, validated = (np.where(lengths < 3, 0, n) for n in (tested, validated))
    parts = np.zeros(len(events), np.int8)
    parts[from_end < (tested + validated)[events.user]] = VALIDATION
    parts[from_end < tested[events.user]] = TEST
    return _shuffled_within_users(parts, events, generator)


def temporal(events: Interactions, split: SplitRequest) -> Parts:
    """The latest share of all events is test, the one before validation; equal times together.

    Raises:
        DataError: the events have no times.
    """
    if events.time is None:
        raise DataError(
            "Split temporal needs times and no time column was found. "
            "Map it with data.columns.time, or use split: {kind: random}."
        )
    return latest(events.time, [1 - split.test - split.validation, 1 - split.test])


def latest(times: npt.NDArray[np.float64], shares: Sequence[float]) -> Parts:
    """(E,) how many of the cuts an event lies behind; each share of all events is before its cut.

    Equal times stay together, behind the cut.
    """
    positions = [int(len(times) * share) for share in shares]
    cuts = np.partition(times, positions)[positions]
    return np.searchsorted(cuts, times, side="right").astype(np.int8)


def user_disjoint(
    events: Interactions, split: SplitRequest, generator: np.random.Generator
) -> Parts:
    """Some users are held out: part of their events is revealed, the rest to be predicted.

    The last events are to be predicted where there is an order, else random ones.
    """
    lengths, _, from_end = _places(events)
    eligible = generator.permutation(np.flatnonzero(lengths >= 2))
    tested = max(1, round(split.test * len(lengths)))
    validated = max(1, round(split.validation * len(lengths)))
    role = np.zeros(len(lengths), np.int8)
    role[eligible[:tested]] = TEST
    role[eligible[tested : tested + validated]] = VALIDATION
    hidden = np.clip(np.rint(lengths * split.holdout), 1, np.maximum(lengths - 1, 1))
    chosen = from_end < hidden[events.user]
    if not events.ordered:
        chosen = _shuffled_within_users(chosen.astype(np.int8), events, generator).astype(bool)
    of_user = role[events.user]
    return np.where((of_user != TRAIN) & ~chosen, np.int8(REVEALED), of_user)


def given(events: Interactions, split: SplitRequest, generator: np.random.Generator) -> Parts:
    """The files' parts; without a validation file it is taken out of train.

    Then it is each user's last train event where there are times, else a random share of them:
    published lists are often in the order of their numbers. Users with one train event keep it.
    """
    assert events.part is not None
    parts = events.part.copy()
    if (parts == VALIDATION).any():
        return parts
    train = np.flatnonzero(parts == TRAIN)
    rest = events.take(train)
    lengths, _, from_end = _places(rest)
    shares = (
        np.zeros(len(lengths)) if rest.time is not None else np.rint(lengths * split.validation)
    )
    hidden = np.clip(shares, np.where(lengths > 1, 1, 0), np.maximum(lengths - 1, 0))
    chosen = (from_end < hidden[rest.user]).astype(np.int8)
    if rest.time is None:
        chosen = _shuffled_within_users(chosen, rest, generator)
    parts[train[chosen == 1]] = VALIDATION
    return parts


def _places(events: Interactions) -> tuple[Counts, Counts, Counts]:
    """Events of each user (U,); place of each in its user's (E,), from the start and the end."""
    lengths = np.bincount(events.user, minlength=len(events.users))
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(events)) - starts[events.user]
    return lengths, place, lengths[events.user] - 1 - place


def _shuffled_within_users(
    parts: Parts, events: Interactions, generator: np.random.Generator
) -> Parts:
    order = np.lexsort((generator.random(len(parts)), events.user))
    return parts[order]


def _check_filled(parts: Parts, events: Interactions, kind: str) -> None:
    counts = np.bincount(parts, minlength=4)
    names = ("train", "validation", "test")
    empty = [name for name, number in zip(names, counts, strict=False) if not number]
    if not empty:
        return
    raise DataError(
        f"Split {kind} leaves no {empty[0]} event: "
        f"{len(events)} events of {len(events.users)} users became "
        f"{counts[TRAIN]} train, {counts[VALIDATION]} validation and {counts[TEST]} test. "
        "Choose another split or other shares, or give more events per user."
    )
