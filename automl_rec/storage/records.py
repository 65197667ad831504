"""What a database holds of a study, as plain values. Times are seconds since 1970, UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.storage.owner import Owner

State: TypeAlias = Literal["complete", "pruned", "failed"]
Role: TypeAlias = Literal["search", "worker"]
DERIVED = "derived"
"""Origin of a trial that shares the training of its parent: it does not count in the budget."""
Claim: TypeAlias = Literal["taken", "known", "running", "full"]
"""What became of a claim: it is its maker's; it is recorded; another runs it; no room is left."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a study was made from.

    Attributes:
        name: unique in its database; Optuna's study bears it too.
        space_text: the space file as it was read.
        space_digest: of the checked space.
        data_digest: of the prepared interactions and their split.
        data: a description of them: plain values.
        objectives: in the order of Optuna's values.
        plugins: distribution name -> version.
        environment: what else may explain a difference: Python, torch, machine.
        seed: of the whole study.
        created: when.
        components: what the space holds: kind -> name -> hyperparameter -> domain, plain values.
        earlier: what stood here before the space or the plugins changed, oldest first: plain values
            with the time until which they stood.
    """

    name: str
    space_text: str
    space_digest: str
    data_digest: str
    data: Mapping[str, Any]
    objectives: tuple[Objective, ...]
    plugins: Mapping[str, str]
    environment: Mapping[str, str]
    seed: int
    created: float
    components: Mapping[str, Any] = field(default_factory=dict)
    earlier: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class StoredBudget:
    """When a study ends, as whoever searched it last said; None is no limit."""

    trials: int | None = None
    seconds: float | None = None
    trial_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that runs trials of a study.

    Attributes:
        number: of no other process, in any study of the database.
        owner: which process.
        role: ``"search"``, one at a time, says how long the study goes on; ``"worker"`` joined it.
        engine: where its trials run.
        trials_at_once: how many.
        lease_seconds: how long it may be silent before its trials are given to others.
        joined: when.
        heartbeat: when it was last heard of.
        left: when it ended, or None.
    """

    number: int
    owner: Owner
    role: Role
    engine: str
    trials_at_once: int
    lease_seconds: float
    joined: float
    heartbeat: float
    left: float | None = None

    def gone(self, now: float) -> bool:
        """Whether it has left, has ended, or has been silent for longer than its lease."""
        return self.left is not None or self.owner.gone(self.heartbeat, now, self.lease_seconds)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One validation of a training; ``quality`` is NaN where it was not a number."""

    epoch: int
    quality: float
    standard_error: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Artefact:
    """Where a trial's artefact lies, and what it was when it was written."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTrial:
    """A trial that ended, before it has a number.

    Attributes:
        uuid: made when the trial was started; recording it twice has no effect.
        digest: of the configuration.
        configuration: plain data, see `Configuration.as_dict`.
        state: ``"complete"`` has every objective measured; ``"pruned"`` was refused or stopped.
        reason: why a trial was pruned or failed.
        measurements: objective name -> measurement; every objective where complete.
        violations: objective name -> how far beyond its bound; <= 0 is feasible.
        seed: of the training.
        origin: who proposed it: a baseline, a sampler; `DERIVED` from the trial of another.
        worker: who trained it; None where nobody did.
        train_seconds: spent in training, that of its parent included; None where there was none.
        training: digest of the training part of the configuration; empty where nothing ran.
        parent: number of the trial whose training this one took over; None where it had its own.
        artefact: None where none is kept.
    """

    uuid: str
    digest: str
    configuration: Mapping[str, Any]
    state: State
    seed: int
    started: float
    finished: float
    origin: str
    reason: str | None = None
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    worker: str | None = None
    train_seconds: float | None = None
    training: str = ""
    parent: int | None = None
    artefact: Artefact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord(FinishedTrial):
    """A recorded trial; ``number`` counts from 0 and is Optuna's."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTrial:
    """A trial on its way.

    Attributes:
        uuid: the finished trial's.
        owner: number of the `Worker` that answers for it; None while it waits for one.
        attempt: 1, or more where its worker process died of it and it was started again.
        losses: how often the process that answered for it was lost.
        curve: validations known when the owner was last heard of.
        digest, configuration, seed, origin, started, training, parent: see `FinishedTrial`.
    """

    uuid: str
    digest: str
    configuration: Mapping[str, Any]
    seed: int
    origin: str
    started: float
    owner: int | None = None
    attempt: int = 1
    losses: int = 0
    curve: tuple[CurvePoint, ...] = ()
    training: str = ""
    parent: int | None = None
