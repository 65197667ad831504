"""Latency: milliseconds to answer with what would be shipped."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from automl_rec.costs import PRICED_ROWS
from automl_rec.data.row_batches import rows_of
from automl_rec.kernels import one_thread
from automl_rec.objectives.ranking import shown
from automl_rec.plugin import Histories, Requests, RowTable
from automl_rec.served import Served

WARM_UP = 10
REQUESTS = 100
LIST_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall-clock milliseconds on one thread, from a request to its answer.

    The answer is a list of ten items, or the judgement of `PRICED_ROWS` rows.

    Attributes:
        median_ms: half of the answers are faster.
        p95_ms: 95 of 100 are faster.
        standard_error_ms: of the median, from the spread of the middle half.
    """

    median_ms: float
    p95_ms: float
    standard_error_ms: float


def measure(served: Served, known: Histories, *, batch: int = 1, seed: int = 0) -> Latency:
    """Times requests for random users.

    Args:
        served: the finished model; its type excludes masked training modules.
        known: what is known of each user.
        batch: users in a request.
        seed: of the users drawn.

    Raises:
        TypeError: the model is not what would be served.
    """
    _require_served(served)
    users = np.random.default_rng(seed).integers(0, known.num_users, (WARM_UP + REQUESTS, batch))
    with one_thread():
        return _latency([_answer(served, known, group) for group in users])


def measure_rows(served: Served, table: RowTable, *, seed: int = 0) -> Latency:
    """Times the judgement of `PRICED_ROWS` rows that stand together in a table.

    Of a smaller table all rows are judged, and the time is scaled up.

    Args:
        served: the finished model; its type excludes masked training modules.
        table: rows R to be judged.
        seed: of the places drawn.

    Raises:
        TypeError: the model is not what would be served.
    """
    _require_served(served)
    size = min(PRICED_ROWS, len(table))
    last = len(table) - size
    starts = np.random.default_rng(seed).integers(0, last + 1, WARM_UP + REQUESTS)
    with one_thread():
        seconds = [_judgement(served, table, int(start), size) for start in starts]
    return _latency([found * PRICED_ROWS / size for found in seconds])


def _require_served(served: object) -> None:
    if not isinstance(served, Served):
        raise TypeError(f"latency must be taken from what is served, got {type(served).__name__}")


def _latency(seconds: Sequence[float]) -> Latency:
    """What remains of the times taken without those of the warm-up."""
    taken = np.array(seconds)[WARM_UP:] * 1000
    low, median, high, p95 = np.quantile(taken, [0.25, 0.5, 0.75, 0.95])
    error = 1.2533 * (high - low) / 1.349 / np.sqrt(len(taken))
    return Latency(float(median), float(p95), float(error))


def _judgement(served: Served, table: RowTable, start: int, size: int) -> float:
    rows = replace(rows_of(table, start, start + size), labels=None)
    began = time.perf_counter()
    served.logits(rows)
    return time.perf_counter() - began


def _answer(served: Served, known: Histories, users: npt.NDArray[np.int64]) -> float:
    requests = Requests.of(known, users)
    start = time.perf_counter()
    shown(served, served.scores(requests), requests, LIST_LENGTH)
    return time.perf_counter() - start
