"""What a user sees of a running search: a live view, plain lines where piped, JSON for machines."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from automl_rec.search.events import (
    Listener,
    StudyEnded,
    StudyEvent,
    StudyStarted,
    TrialFinished,
    TrialReported,
    TrialRequeued,
    TrialStarted,
)
from automl_rec.search.wording import begun, cells, numbered, state_of
from automl_rec.storage.records import TrialRecord

if TYPE_CHECKING:
    from automl_rec.objectives.objective import Objective


@contextmanager
def display(*, as_json: bool = False, stream: TextIO | None = None) -> Iterator[Listener]:
    """The listener that fits where the output goes.

    Args:
        as_json: one JSON object an event and line, whatever the stream.
        stream: standard output if None.
    """
    stream = sys.stdout if stream is None else stream
    if as_json:
        yield JsonLines(stream)
    elif stream.isatty():
        # Imported here: pipes and machines are spared rich.
        from automl_rec.search.live import LiveView

        with LiveView(stream) as view:
            yield view
    else:
        yield PlainLines(stream)


class PlainLines:
    """One line a finished trial."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._objectives: tuple[Objective, ...] = ()
        self._trials: int | None = None

    def __call__(self, event: StudyEvent) -> None:
        """Prints what an event says."""
        for line in self._lines(event):
            print(line, file=self._stream, flush=True)

    def _lines(self, event: StudyEvent) -> Sequence[str]:
        match event:
            case StudyStarted():
                self._objectives, self._trials = event.objectives, event.trials
                return [begun(event), *event.notes]
            case TrialFinished():
                return [self._finished(event)]
            case TrialRequeued():
                return [f"A trial will be run once more: {event.reason}"]
            case StudyEnded():
                return event.sentences
            case _:
                return []

    def _finished(self, event: TrialFinished) -> str:
        trial = event.trial
        ran = f"{event.ran}" if self._trials is None else f"{event.ran}/{self._trials}"
        values = "  ".join(cells(trial, self._objectives))
        mark = "front" if event.entered else state_of(trial)
        reason = f"  {trial.reason}" if trial.reason else ""
        return f"{ran:>7}  #{numbered(trial):<8} {mark:<8}  {values}  {event.title}{reason}"


class JsonLines:
    """One JSON object an event: ``event`` names it, the other fields are the event's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: StudyEvent) -> None:
        """Prints an event."""
        content = {"event": _NAMES[type(event)], **plain(event)}
        print(json.dumps(content), file=self._stream, flush=True)


def plain(event: StudyEvent) -> dict[str, Any]:
    """An event's fields as plain data; the front as numbers of trials."""
    match event:
        case TrialFinished():
            own = {name: getattr(event, name) for name in ("title", "ran", "entered")}
            front = [trial.number for trial in event.front]
            return {**_plain_trial(event.trial), **own, **_standing(front, event.hypervolume)}
        case StudyEnded():
            front = [trial.number for trial in event.front]
            told = {"why": event.why, "sentences": list(event.sentences)}
            return told | _standing(front, event.hypervolume)
        case StudyStarted():
            return asdict(event) | {"objectives": [o.name for o in event.objectives]}
        case _:
            return asdict(event)


def _plain_trial(trial: TrialRecord) -> dict[str, Any]:
    measured: Mapping[str, Any] = {name: asdict(m) for name, m in trial.measurements.items()}
    return {
        "number": trial.number,
        "digest": trial.digest,
        "state": trial.state,
        "reason": trial.reason,
        "configuration": trial.configuration,
        "measurements": measured,
        "train_seconds": trial.train_seconds,
        "parent": trial.parent,
    }


def _standing(front: list[int], hypervolume: float) -> dict[str, Any]:
    return {"front": front, "hypervolume": hypervolume}


_NAMES: Mapping[type, str] = {
    StudyStarted: "study_started",
    TrialStarted: "trial_started",
    TrialReported: "trial_reported",
    TrialFinished: "trial_finished",
    TrialRequeued: "trial_requeued",
    StudyEnded: "study_ended",
}
