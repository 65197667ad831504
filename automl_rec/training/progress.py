"""Progress: what is known of a training while it goes on, and when it has ended."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["maximize", "minimize"]
Stop: TypeAlias = Literal["patience", "early", "time"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The quality on validation after an epoch.

    Attributes:
        epoch: epochs run, from 1.
        epochs: epochs this training may run.
        quality: in its own unit, whether larger or smaller is better.
        standard_error: of the quality, over users.
        seconds: wall seconds of training so far, validation and reporting left out.
    """

    epoch: int
    epochs: int
    quality: float
    standard_error: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Training:
    """How a training went; the model holds the weights of the best point of the curve.

    Attributes:
        curve: every validation of the last phase; those of earlier ones judge another model.
        epochs: epochs begun, in all phases.
        seconds: wall seconds of training, validation and reporting left out.
        stopped: why it ended before its last epoch, or None; ``"time"`` also where only a phase
            before the last was cut short.
    """

    curve: tuple[Progress, ...]
    epochs: int
    seconds: float
    stopped: Stop | None
