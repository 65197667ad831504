"""Latency: milliseconds to answer one request with what would be shipped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from automl_rec.builder import Served
from automl_rec.objectives.ranking import requests_of, shown
from automl_rec.plugin import Histories

WARM_UP = 10
REQUESTS = 100
LIST_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall-clock milliseconds from a request to its list of ten items, on one thread.

    Attributes:
        median_ms: half of the requests are faster.
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
    if not isinstance(served, Served):
        raise TypeError(f"latency must be taken from what is served, got {type(served).__name__}")
    users = np.random.default_rng(seed).integers(0, known.num_users, (WARM_UP + REQUESTS, batch))
    with _one_thread():
        seconds = np.array([_answer(served, known, group) for group in users])[WARM_UP:]
    low, median, high, p95 = np.quantile(seconds * 1000, [0.25, 0.5, 0.75, 0.95])
    error = 1.2533 * (high - low) / 1.349 / np.sqrt(REQUESTS)
    return Latency(float(median), float(p95), float(error))


def _answer(served: Served, known: Histories, users: npt.NDArray[np.int64]) -> float:
    requests = requests_of(known, users)
    start = time.perf_counter()
    shown(served, served.scores(requests), requests, LIST_LENGTH)
    return time.perf_counter() - start


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
