"""What a user should know of his data, in sentences."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from automl_rec.data.filters import Remaining
from automl_rec.data.interactions import Interactions
from automl_rec.data.split import REVEALED, TEST, TRAIN, VALIDATION, Parts


def filter_notes(steps: Sequence[Remaining]) -> list[str]:
    """What each filter dropped."""
    return [
        f"Filter {after.step} dropped {_count(before.events - after.events, 'event')}, "
        f"{_count(before.users - after.users, 'user')} and "
        f"{_count(before.items - after.items, 'item')}; {_count(after.events, 'event')} left."
        for before, after in pairwise(steps)
        if after.events < before.events
    ]


def label_notes(events: Interactions, threshold: float | None) -> list[str]:
    """Whether labels that look like yes and no are all taken for yes."""
    if events.label is None or threshold is not None:
        return []
    if set(np.unique(events.label[:100_000])) != {0.0, 1.0}:
        return []
    return ["Labels are 0 and 1 and all count as events; data.threshold: 1 keeps only the ones."]


def split_notes(events: Interactions, parts: Parts) -> list[str]:
    """Users and items that a model cannot learn from the train part."""
    lengths = np.bincount(events.user)
    notes = []
    single = int(np.count_nonzero(lengths == 1))
    if single:
        notes.append(f"{_count(single, 'user')} with one event: kept where it is, never split.")
    if events.part is not None and not (events.part == VALIDATION).any():
        taken = int(np.count_nonzero(parts == VALIDATION))
        notes.append(f"No validation file is given: {_count(taken, 'event')} of train serve as it.")
    trained_items = np.bincount(events.item[parts == TRAIN], minlength=len(events.items)) > 0
    known = np.isin(parts, (TRAIN, REVEALED))
    known_users = np.bincount(events.user[known], minlength=len(events.users)) > 0
    for part, name in ((VALIDATION, "validation"), (TEST, "test")):
        notes += _cold_notes(events, parts == part, trained_items, known_users, name)
    return notes


def _cold_notes(
    events: Interactions,
    chosen: np.ndarray[tuple[int], np.dtype[np.bool_]],
    trained_items: np.ndarray[tuple[int], np.dtype[np.bool_]],
    known_users: np.ndarray[tuple[int], np.dtype[np.bool_]],
    name: str,
) -> list[str]:
    notes = []
    items, users = events.item[chosen], events.user[chosen]
    cold = items[~trained_items[items]]
    if len(cold):
        notes.append(
            f"{_count(len(cold), f'{name} event')} with {_count(len(np.unique(cold)), 'item')} "
            "never seen in train: kept, and counted as missed by models that know no such item."
        )
    unknown = np.unique(users[~known_users[users]])
    if len(unknown):
        notes.append(
            f"{_count(len(unknown), 'user')} in {name} without a known event: kept, ranked "
            "without a history."
        )
    return notes


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
