"""What listeners hear of a study while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from automl_rec.objectives.objective import Objective
from automl_rec.storage.records import TrialRecord


@dataclass(frozen=True, slots=True)
class StudyStarted:
    """A search begins, or goes on.

    Attributes:
        finished: trials recorded before.
        ran: those of them that count against the budget.
        trials: budget of trials, or None.
        seconds: of wall time that are left, or None.
        notes: sentences that the user should read.
    """

    name: str
    folder: str
    objectives: tuple[Objective, ...]
    workers: int
    finished: int
    ran: int
    trials: int | None
    seconds: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A worker was given a trial."""

    digest: str
    title: str
    worker: str
    origin: str


@dataclass(frozen=True, slots=True)
class TrialReported:
    """A training's quality on validation after an epoch."""

    digest: str
    epoch: int
    epochs: int
    quality: float


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial was recorded.

    Attributes:
        ran: trials that count against the budget so far.
        entered: whether the trial is on the front.
        front: of the study, best quality first.
        hypervolume: of that front.
    """

    trial: TrialRecord
    title: str
    ran: int
    entered: bool
    front: tuple[TrialRecord, ...]
    hypervolume: float


@dataclass(frozen=True, slots=True)
class TrialRequeued:
    """A worker died of a trial, which will be tried once more."""

    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class StudyEnded:
    """A search has ended.

    Attributes:
        why: ``"trials"``, ``"time"``, ``"exhausted"``, ``"interrupted"``.
        sentences: what came of it.
    """

    why: str
    sentences: tuple[str, ...]
    front: tuple[TrialRecord, ...]
    hypervolume: float


StudyEvent: TypeAlias = (
    StudyStarted | TrialStarted | TrialReported | TrialFinished | TrialRequeued | StudyEnded
)
Listener: TypeAlias = Callable[[StudyEvent], None]
