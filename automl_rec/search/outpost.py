"""A bench on a machine that may see neither the study's folder nor its data."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from automl_rec.data.travel import Files, arrived
from automl_rec.errors import StorageError
from automl_rec.search.bench import Bench, Message, Report
from automl_rec.search.engine import Setup
from automl_rec.search.reason import shorten
from automl_rec.training.progress import Progress


@dataclass(frozen=True, slots=True)
class Marker:
    """A file with a word of its own: who reads the word sees the folder.

    Attributes:
        path: of the file, in the study's folder.
        word: what stands in it, by chance.
    """

    path: str
    word: str

    def seen(self) -> bool:
        """Whether this machine sees the folder."""
        try:
            return Path(self.path).read_text("utf-8") == self.word
        except (OSError, UnicodeDecodeError):
            return False


class Home(Protocol):
    """The desk of the study, from where a worker is."""

    def data(self) -> Files:
        """The files of the prepared data."""

    def training(self, name: str) -> bytes | None:
        """See `Desk.training`."""

    def keep_training(self, name: str, content: bytes) -> None:
        """See `Desk.keep_training`."""

    def keep_model(self, run: str, content: bytes) -> str:
        """See `Desk.keep_model`."""


class Outpost:
    """Runs trials as a bench does; what they leave is taken home where home is not seen.

    Args:
        setup: of the study; its folders are those of the study's machine.
        digest: of the data.
        marker: in the study's folder.
        home: where to ask and send.

    Raises:
        DataError: the data cannot be had.
        PluginError: a plugin is broken in a way that no trial can go round.
    """

    def __init__(self, setup: Setup, digest: str, marker: Marker, home: Home) -> None:
        data = arrived(Path(setup.data), digest, home.data)
        self._bench = Bench.of(asdict(setup) | {"data": str(data.folder)})
        self._home, self._seen = home, marker.seen()

    def attempt(self, job: Message, report: Report) -> Mapping[str, Any]:
        """See `Bench.attempt`."""
        if self._seen:
            return self._bench.attempt(job, report)
        with tempfile.TemporaryDirectory(prefix="automl-rec-") as folder:
            bench = replace(self._bench, artefacts=Path(folder), trainings=Path(folder))
            return self._attempt_away(bench, job, report)

    def _attempt_away(self, bench: Bench, job: Message, report: Report) -> Mapping[str, Any]:
        """Runs a trial, between fetching what it goes on from and sending its model."""
        training = _Training(bench.trainings / job["training"], self._home)
        try:
            training.bring()
            outcome = bench.attempt(job, training.sending(report))
            if job["keep"]:
                training.send()
            if "artefact" in outcome:
                content = Path(outcome["artefact"]).read_bytes()
                outcome["artefact"] = self._home.keep_model(job["run"], content)
        except (OSError, StorageError) as error:
            return {"type": "failed", "how": "storage", "reason": shorten(str(error))}
        return outcome


class _Training:
    """A training file away from home.

    Args:
        file: here.
        home: where it is kept.
    """

    def __init__(self, file: Path, home: Home) -> None:
        self.file, self._home = file, home
        self._sent: int | None = None

    def bring(self) -> None:
        """Fetches what is kept of the training."""
        content = self._home.training(self.file.name)
        if content is not None:
            self.file.write_bytes(content)
            self._sent = self.file.stat().st_mtime_ns

    def send(self) -> None:
        """Sends the file home if it is another one."""
        written = self.file.stat().st_mtime_ns if self.file.exists() else None
        if written not in (None, self._sent):
            self._home.keep_training(self.file.name, self.file.read_bytes())
            self._sent = written

    def sending(self, report: Report) -> Report:
        """A report that sends the file home first."""

        def send_and_report(progress: Progress) -> bool:
            self.send()
            return report(progress)

        return send_and_report
