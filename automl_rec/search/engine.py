"""What a study asks of an engine, and what an engine tells: plain data in both directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker must know once.

    Attributes:
        data: folder of the prepared interactions.
        objectives: the objectives, each as plain fields.
        artefacts: folder under which every trained model is written, by run.
        trainings: folder of the files that trainings go on from, by training part.
        without: entries of plugins that are blocked.
    """

    data: str
    objectives: tuple[Mapping[str, Any], ...]
    artefacts: str
    trainings: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One trial to run.

    Attributes:
        digest: of the configuration; jobs that run at once differ in it.
        configuration: as `Configuration.as_dict` gives it.
        seed: of the training.
        training: name of its training file: the digest of its training part. Whoever runs the
            trial again, or another that shares the training, goes on from there.
        run: name of the folder for its model; no other run of the trial, anywhere, has the same.
        seconds: wall time after which training ends with its best epoch; None for no limit.
        end: wall time after which, and some grace, the trial is ended whatever it does; None for
            no limit. A closed form knows no epochs and heeds only this.
        keep: whether the training file holds what was trained when that has ended.
    """

    digest: str
    configuration: Mapping[str, Any]
    seed: int
    training: str
    run: str
    seconds: float | None = None
    end: float | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has begun a job."""

    job: Job
    worker: str


@dataclass(frozen=True, slots=True)
class Reported:
    """A training's quality on validation; the worker waits for `Engine.answer`."""

    job: Job
    epoch: int
    epochs: int
    quality: float
    standard_error: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A job's outcome.

    Attributes:
        measurements: objective name -> (value, standard error or None).
        stopped: why training ended early, as in `evaluation.Outcome`.
        curve: every validation: epoch, quality, standard error, seconds; those before a resumption
            too, which were reported to whoever ran the trial then.
        artefact: path of the model written, with its digest and size; empty where there is none.
    """

    job: Job
    worker: str
    measurements: Mapping[str, tuple[float, float | None]]
    train_seconds: float
    stopped: str | None
    curve: Sequence[tuple[int, float, float | None, float]] = ()
    artefact: str = ""
    artefact_sha256: str = ""
    artefact_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A job that gave no outcome.

    Attributes:
        how: ``"infeasible"`` (refused), ``"error"`` (an exception), ``"died"`` (the worker ended,
            or was silent and was ended), ``"overtime"`` (it was ended, far beyond its time),
            ``"memory"`` (it was ended, beyond its memory), ``"storage"`` (its files could not be
            written, which no other trial could either).
    """

    job: Job
    worker: str
    how: Literal["infeasible", "error", "died", "overtime", "memory", "storage"]
    reason: str


Event: TypeAlias = Started | Reported | Finished | Failed


class Engine(Protocol):
    """Runs jobs somewhere."""

    @property
    def workers(self) -> int:
        """How many jobs run at once."""

    def open(self, setup: Setup) -> None:
        """Tells the workers what they need before their first job."""

    def start(self, job: Job) -> str:
        """Gives a job to a free worker, and its name."""

    def wait(self, seconds: float) -> list[Event]:
        """What has happened, at the latest after so many seconds."""

    def answer(self, job: Job, *, proceed: bool) -> None:
        """Lets a training that reported go on, or ends it."""

    def cancel(self, job: Job) -> None:
        """Ends a job that another process has taken over; nothing more is told of it."""

    def close(self) -> None:
        """Ends all workers, whatever they do."""
