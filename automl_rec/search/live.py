"""The live view of a search on a terminal."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from automl_rec.objectives.objective import Objective
from automl_rec.search.events import (
    StudyEnded,
    StudyEvent,
    StudyStarted,
    TrialFinished,
    TrialReported,
    TrialRequeued,
    TrialStarted,
)
from automl_rec.search.title import title_of
from automl_rec.search.wording import begun, cells, numbered
from automl_rec.space.configuration import Configuration

if TYPE_CHECKING:
    from automl_rec.storage.records import TrialRecord

FRONT_ROWS = 10


@dataclass
class _Line:
    """A running trial as it is shown."""

    title: str
    worker: str
    began: float
    progress: str = ""


class LiveView:
    """Trials running, the front so far, hypervolume and what is left; for use in a ``with``."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._started: StudyStarted | None = None
        self._deadline: float | None = None
        self._running: dict[str, _Line] = {}
        self._front: tuple[TrialRecord, ...] = ()
        self._ran, self._hypervolume = 0, 0.0
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self._live.stop()

    def __call__(self, event: StudyEvent) -> None:
        """Takes an event into the view."""
        match event:
            case StudyStarted():
                self._begin(event)
            case TrialStarted():
                line = _Line(event.title, event.worker, time.monotonic())
                self._running[event.digest] = line
            case TrialReported():
                found = f"epoch {event.epoch}/{event.epochs}  {event.quality:.4f}"
                self._running[event.digest].progress = found
            case TrialFinished():
                self._finish(event)
            case TrialRequeued():
                self._running.pop(event.digest, None)
                self._say(f"A trial will be run once more: {event.reason}")
            case StudyEnded():
                self._live.stop()
                self._show_front(event.front)
                for sentence in event.sentences:
                    self._say(sentence)

    def _begin(self, event: StudyStarted) -> None:
        self._started, self._ran = event, event.ran
        if event.seconds is not None:
            self._deadline = time.monotonic() + event.seconds
        for sentence in (begun(event), *event.notes):
            self._say(sentence)
        self._live.start()

    def _finish(self, event: TrialFinished) -> None:
        self._running.pop(event.trial.digest, None)
        self._ran, self._hypervolume, self._front = event.ran, event.hypervolume, event.front
        if event.trial.state == "failed":
            self._say(f"Trial {event.trial.number} failed: {event.trial.reason}")

    def _show_front(self, front: "tuple[TrialRecord, ...]") -> None:
        """Leaves the front on the screen when the live part goes."""
        self._front = front
        if front and self._started is not None:
            self._console.print(self._front_table(self._started.objectives))

    def _say(self, sentence: str) -> None:
        self._console.print(Text(sentence))

    def _render(self) -> RenderableType:
        if self._started is None:
            return Text("")
        parts: list[RenderableType] = [Text(self._headline())]
        lines = [self._running_line(line) for line in tuple(self._running.values())]
        parts += [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
        if self._front:
            parts.append(self._front_table(self._started.objectives))
        return Group(*parts)

    def _headline(self) -> str:
        assert self._started is not None
        trials = self._started.trials
        done = f"{self._ran} trials" if trials is None else f"{self._ran} of {trials} trials"
        parts = [done, f"hypervolume {self._hypervolume:.4f}"]
        if self._deadline is not None:
            parts.append(f"{_clock(self._deadline - time.monotonic())} left")
        return "  ".join(parts)

    def _running_line(self, line: _Line) -> str:
        seconds = _clock(time.monotonic() - line.began)
        parts = (line.worker, seconds, line.progress, line.title)
        return "  " + "  ".join(filter(None, parts))

    def _front_table(self, objectives: Sequence[Objective]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        table.add_column("trial", justify="right", no_wrap=True)
        for objective in objectives:
            table.add_column(objective.name, justify="right", no_wrap=True)
        table.add_column("configuration", no_wrap=True, overflow="ellipsis", ratio=1)
        for trial in self._front[:FRONT_ROWS]:
            title = title_of(Configuration.from_dict(trial.configuration))
            table.add_row(numbered(trial), *cells(trial, objectives), Text(title))
        if len(self._front) > FRONT_ROWS:
            table.add_row("...", *[""] * len(objectives), f"{len(self._front)} in all")
        return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"
