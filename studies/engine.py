"""An engine whose trials end at once, to measure everything but training."""

import time
from collections import deque
from collections.abc import Callable, Mapping

from automl_rec.search.engine import Event, Finished, Job, Setup, Started

Answer = Callable[[Job], Mapping[str, tuple[float, float | None]]]


class InstantEngine:
    """Runs one trial at a time; see `automl_rec.search.engine.Engine`.

    Args:
        answer: objective -> value and standard error, of a job.
    """

    workers = 1

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._events: deque[Event] = deque()

    def open(self, setup: Setup) -> None:
        """Nothing has to be known."""

    def start(self, job: Job) -> str:
        finished = Finished(job, "instant", self._answer(job), 0.0, None)
        self._events += [Started(job, "instant"), finished]
        return "instant"

    def wait(self, seconds: float) -> list[Event]:
        if not self._events:
            time.sleep(seconds)  # for what other processes run; to ask again at once would spin
        events = list(self._events)
        self._events.clear()
        return events

    def answer(self, job: Job, *, proceed: bool) -> None:
        """Nothing is reported."""

    def cancel(self, job: Job) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing runs."""
