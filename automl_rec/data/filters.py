"""Which events count: label threshold, duplicates, k-core."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from automl_rec.data.interactions import Interactions
from automl_rec.data.request import DataRequest, Kept
from automl_rec.errors import DataError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left after one step: its events, users and items."""

    step: str
    events: int
    users: int
    items: int


def filtered(
    events: Interactions, request: DataRequest
) -> tuple[Interactions, tuple[Remaining, ...]]:
    """The events that count, numbered without gaps, and what each filter left.

    Raises:
        DataError: nothing is left, of all events or of one given file, or only one user or item.
    """
    steps = [_remaining("read", events)]
    for name, kept in _masks(request):
        events = events.take(kept(events))
        steps.append(_remaining(name, events))
        _check_left(steps)
    _check_left(steps)
    _check_files(events, request)
    return events.compact(), tuple(steps)


def _check_files(events: Interactions, request: DataRequest) -> None:
    """Refuse a given file without any event that counts, rather than make up its part."""
    if events.part is None:
        return
    for part, path in enumerate((request.train, request.validation, request.test)):
        if path is not None and not (events.part == part).any():
            raise DataError(
                f"{path}: no event of this file counts: each is dropped by the filters, or repeats "
                "one of an earlier file. Give files that do not overlap, or loosen the filters."
            )


def _masks(request: DataRequest) -> list[tuple[str, Callable[[Interactions], Mask]]]:
    masks: list[tuple[str, Callable[[Interactions], Mask]]] = []
    threshold = request.threshold
    if threshold is not None:
        masks.append((f"label >= {threshold:g}", lambda e: above_threshold(e, threshold)))
    masks.append(("duplicates", lambda e: without_duplicates(e, request.duplicates)))
    if request.k_core > 1:
        masks.append((f"{request.k_core}-core", lambda e: in_core(e, request.k_core)))
    return masks


def above_threshold(events: Interactions, threshold: float) -> Mask:
    """(E,) whether the label is at least ``threshold``.

    Raises:
        DataError: the events have no labels.
    """
    if events.label is None:
        raise DataError(
            f"data.threshold {threshold:g} needs a label column and none was found. "
            "Map it with data.columns.label, or remove the threshold."
        )
    return events.label >= np.float32(threshold)


def without_duplicates(events: Interactions, kept: Kept) -> Mask:
    """(E,) whether an event is the one kept of its user and item.

    In given parts the earlier part wins, whatever ``kept`` says: what was known is not predicted.
    """
    pair = events.user.astype(np.int64) * len(events.items) + events.item
    if events.part is None:
        return _distinct(pair, kept)
    mask = _distinct(pair * 3 + events.part, kept)
    by_part = np.flatnonzero(mask)[np.argsort(events.part[mask], kind="stable")]
    mask[by_part] = _distinct(pair[by_part], "first")
    return mask


def _distinct(keys: npt.NDArray[np.int64], kept: Kept) -> Mask:
    series = pl.Series(keys)
    mask = series.is_first_distinct() if kept == "first" else series.is_last_distinct()
    return mask.to_numpy().copy()


def in_core(events: Interactions, least: int) -> Mask:
    """(E,) whether user and item have ``least`` events each among those that are kept."""
    mask = np.ones(len(events), bool)
    while True:
        users = np.bincount(events.user[mask], minlength=len(events.users))
        items = np.bincount(events.item[mask], minlength=len(events.items))
        smaller = mask & (users >= least)[events.user] & (items >= least)[events.item]
        if smaller.sum() == mask.sum():
            return mask
        mask = smaller


def _remaining(step: str, events: Interactions) -> Remaining:
    users = np.count_nonzero(np.bincount(events.user))
    items = np.count_nonzero(np.bincount(events.item))
    return Remaining(step, len(events), int(users), int(items))


def _check_left(steps: list[Remaining]) -> None:
    left = steps[-1]
    history = "; ".join(f"{s.step}: {s.events} events" for s in steps)
    if not left.events:
        raise DataError(f"No event is left after the filters ({history}). Loosen the last one.")
    for number, name in ((left.users, "user"), (left.items, "item")):
        if number == 1:
            raise DataError(
                f"Only one {name} is left ({history}), and recommending needs at least two. "
                f"Loosen the filters, or check data.columns.{name}."
            )
