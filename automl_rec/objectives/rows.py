"""Quality on labelled rows: how well the rows whose label is 1 are told from the others."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.data.row_batches import rows_of
from automl_rec.errors import DataError, DivergenceError
from automl_rec.objectives.objective import Measurement
from automl_rec.plugin import Rows, RowTable

FloatArray: TypeAlias = npt.NDArray[np.float64]
CHUNK_ROWS = 8192
"""Rows judged at once: memory does not grow with the table."""


class Judge(Protocol):
    """Whatever judges rows: a model or what is served of it."""

    def logits(self, rows: Rows) -> Tensor:
        """(B,) float32."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Judged rows with what they are judged by.

    Attributes:
        logits: (R,) float64, finite.
        labels: (R,) bool.
        groups: (R,) int32 the user of each row, -1 unknown, or None where nothing tells users.
    """

    logits: FloatArray
    labels: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int32] | None = None


def judge(model: Judge, table: RowTable) -> Judged:
    """The model's judgement of every row of a table.

    Raises:
        DivergenceError: a log-odds is not a finite number.
    """
    logits = np.empty(len(table), np.float64)
    with torch.no_grad():
        for start in range(0, len(table), CHUNK_ROWS):
            rows = rows_of(table, start, min(start + CHUNK_ROWS, len(table)))
            logits[start : start + CHUNK_ROWS] = model.logits(rows).numpy()
    if not np.isfinite(logits).all():
        raise DivergenceError(
            "The model's log-odds must be finite, got other values. Lower its learning rate."
        )
    return Judged(logits, np.asarray(table.labels) > 0, table.groups)


def unjudged(table: RowTable) -> Judged:
    """The rows of a table, all judged alike."""
    return Judged(np.zeros(len(table)), np.asarray(table.labels) > 0, table.groups)


def measure(judged: Judged, name: str) -> Measurement:
    """The value of ``"auc"``, ``"gauc"`` or ``"logloss"`` with its standard error.

    auc: how likely a row of label 1 stands above one of label 0, equal ones counting half; its
    error is that of DeLong et al. (1988). gauc: the mean over users of their own auc, weighted with
    their rows, users with one label alone left out (Zhu et al., 2017). logloss: the mean of
    -log of the probability given to the label that came.

    Raises:
        DataError: the rows do not hold what the quality needs: both labels, or users.
    """
    return {"auc": _auc, "gauc": _gauc, "logloss": _logloss}[name](judged)


def midranks(values: FloatArray, groups: npt.NDArray[np.integer]) -> FloatArray:
    """(R,) rank of each value in its group, from 1, equal values sharing their mean rank.

    Args:
        values: (R,).
        groups: (R,) any whole numbers.
    """
    order = np.lexsort((values, groups))
    places = np.arange(len(order))
    new_group = _changes(groups[order])
    new_run = new_group | _changes(values[order])
    starts = np.flatnonzero(new_run)
    ends = np.append(starts[1:], len(order))
    run = np.cumsum(new_run) - 1
    before = np.maximum.accumulate(np.where(new_group, places, 0))
    ranks = np.empty(len(order))
    ranks[order] = (starts[run] + ends[run] + 1) / 2 - before
    return ranks


def _auc(judged: Judged) -> Measurement:
    labels = judged.labels
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        raise DataError(
            f"auc needs rows of label 1 and of label 0 to be told apart, got {positives} and "
            f"{negatives}. Choose another threshold or split."
        )
    overall = midranks(judged.logits, np.zeros(len(labels), np.int8))
    beaten = overall - midranks(judged.logits, labels.astype(np.int8))
    # The share of the other label's rows that each row stands on the right side of.
    right = beaten[labels] / negatives, 1 - beaten[~labels] / positives
    error = None
    if min(positives, negatives) > 1:
        error = float(np.sqrt(sum(share.var(ddof=1) / len(share) for share in right)))
    return Measurement(float(right[0].mean()), error)


def _gauc(judged: Judged) -> Measurement:
    users = per_user(judged)
    if users is None:
        raise DataError(
            "gauc needs users who have rows of both labels, got none. Map a user column in data, "
            "or measure auc."
        )
    values, weights = users
    mean = float(np.average(values, weights=weights))
    if len(values) == 1:
        return Measurement(mean)
    spread = float((weights**2 * (values - mean) ** 2).sum() * len(values) / (len(values) - 1))
    return Measurement(mean, float(np.sqrt(spread) / weights.sum()))


def per_user(judged: Judged) -> tuple[FloatArray, FloatArray] | None:
    """(U,) the auc of each user who has rows of both labels, and (U,) the number of his rows.

    None where no user has, or nothing tells users.
    """
    if judged.groups is None:
        return None
    known = np.asarray(judged.groups) >= 0
    labels = judged.labels[known]
    _, users = np.unique(judged.groups[known], return_inverse=True)
    ranks = midranks(judged.logits[known], users)
    rows = np.bincount(users).astype(np.float64)
    positives = np.bincount(users, labels)
    both = (positives > 0) & (positives < rows)
    if not both.any():
        return None
    above = np.bincount(users, ranks * labels) - positives * (positives + 1) / 2
    pairs = positives * (rows - positives)
    return above[both] / pairs[both], rows[both]


def _logloss(judged: Judged) -> Measurement:
    # log(1 + e^z) never overflows as logaddexp, and loses nothing where z is far on the right side.
    losses = np.logaddexp(0.0, np.where(judged.labels, -judged.logits, judged.logits))
    error = float(losses.std(ddof=1) / np.sqrt(len(losses))) if len(losses) > 1 else None
    return Measurement(float(losses.mean()), error)


def _changes(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """(R,) whether each value, the first included, differs from the one before."""
    changes = np.ones(len(values), np.bool_)
    changes[1:] = values[1:] != values[:-1]
    return changes
