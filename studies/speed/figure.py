"""One measured figure: a line of JSON from the part that measured it, a row of the table."""

import json
import os
import statistics
from dataclasses import asdict, dataclass, field


def threads() -> int:
    given = os.environ.get("OMP_NUM_THREADS")
    return int(given) if given else len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Figure:
    """Repeats of a measurement, of ours and, where it is compared, of a peer's run alternately.

    The goal bounds the ratio of ours to the peer's where there is one, else our own value.
    """

    what: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()
    most: float | None = None
    least: float | None = None
    note: str = ""
    threads: int = field(default_factory=threads)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of the pairs that ran beside each other, or of the medians where they are no pairs."""
        if not self.peer:
            return ()
        if len(self.ours) == len(self.peer):
            return tuple(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))
        return (statistics.median(self.ours) / statistics.median(self.peer),)

    @property
    def judged(self) -> float:
        """What the goal is about."""
        return statistics.median(self.ratios or self.ours)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.most is None and self.least is None:
            return None
        above = self.least is None or self.judged >= self.least
        return above and (self.most is None or self.judged <= self.most)

    def emit(self) -> None:
        """Tells `run.py`."""
        print(json.dumps(asdict(self)), flush=True)
