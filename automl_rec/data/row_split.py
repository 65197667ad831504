"""Which rows are trained on, validated on and tested on."""

import numpy as np
import numpy.typing as npt

from automl_rec.data.request import SplitKind, SplitRequest
from automl_rec.data.split import TEST, TRAIN, VALIDATION, Parts, latest
from automl_rec.errors import DataError

Times = npt.NDArray[np.float64]
NAMES = ("train", "validation", "test")
"""Of the parts, by their numbers."""


def row_kind(split: SplitRequest, part: Parts | None) -> SplitKind:
    """The kind of split that ``auto`` stands for with these rows."""
    if split.kind != "auto":
        return split.kind
    return "random" if part is None else "given"


def assign_rows(
    rows: int, split: SplitRequest, seed: int, times: Times | None, part: Parts | None
) -> Parts:
    """(R,) the part of every row.

    Args:
        rows: their number R.
        split: kind and shares.
        seed: of random shares.
        times: (R,) seconds, where the rows have them and the split asks.
        part: (R,) parts of given files.

    Raises:
        DataError: the rows have no times where the kind needs them, or a part stays empty.
    """
    generator = np.random.default_rng(seed)
    kind = row_kind(split, part)
    match kind:
        case "temporal":
            parts = _temporal(split, times)
        case "given":
            assert part is not None, "the request has files where its split is given"
            parts = _given(part, split, times, generator)
        case _:
            parts = _shares(rows, [split.test, split.validation], generator)
    _check_filled(parts, kind)
    return parts


def _temporal(split: SplitRequest, times: Times | None) -> Parts:
    if times is None:
        raise DataError(
            "Split temporal needs times and no time column was found. "
            "Map it with data.columns.time, or use split: {kind: random}."
        )
    return latest(times, [1 - split.test - split.validation, 1 - split.test])


def _given(
    part: Parts, split: SplitRequest, times: Times | None, generator: np.random.Generator
) -> Parts:
    """The files' parts; without a validation file, the latest train rows or else random ones."""
    parts = part.copy()
    if (parts == VALIDATION).any():
        return parts
    train = np.flatnonzero(parts == TRAIN)
    if times is None:
        chosen = _shares(len(train), [0.0, split.validation], generator)
    else:
        chosen = latest(times[train], [1 - split.validation])
    parts[train[chosen > 0]] = VALIDATION
    return parts


def _shares(rows: int, shares: list[float], generator: np.random.Generator) -> Parts:
    """Random shares for test and validation, at least one row where it is above 0."""
    parts = np.full(rows, TRAIN, np.int8)
    order = generator.permutation(rows)
    tested, validated = (max(round(rows * share), int(share > 0)) for share in shares)
    parts[order[:tested]] = TEST
    parts[order[tested : tested + validated]] = VALIDATION
    return parts


def _check_filled(parts: Parts, kind: str) -> None:
    counts = np.bincount(parts, minlength=len(NAMES))
    empty = [name for name, number in zip(NAMES, counts, strict=True) if not number]
    if empty:
        train, validation, test = counts
        raise DataError(
            f"Split {kind} leaves no {empty[0]} row: {len(parts)} rows became {train} train, "
            f"{validation} validation and {test} test. Choose another split or other shares, or "
            "give more rows."
        )
