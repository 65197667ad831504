"""A bench on a machine that may see neither the study's folder nor its data."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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

    def training(self, trial: str) -> bytes | None:
        """See `Desk.training`."""

    def keep_training(self, trial: str, content: bytes) -> None:
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
        fields = asdict(setup) | {"data": str(data.folder)}
        self._home = home
        self._away = None if marker.seen() else tempfile.TemporaryDirectory(prefix="automl-rec-")
        if self._away is not None:
            folder = Path(self._away.name)
            fields |= {
                "artefacts": str(folder / "artefacts"),
                "trainings": str(folder / "trainings"),
            }
        self._bench = Bench.of(fields)

    def attempt(self, job: Message, report: Report) -> Mapping[str, Any]:
        """See `Bench.attempt`."""
        if self._away is None:
            return self._bench.attempt(job, report)
        training = _Training(self._bench.trainings / job["uuid"], self._home)
        try:
            training.bring()
            outcome = self._bench.attempt(job, training.sending(report))
            return self._delivered(job["run"], outcome)
        except (OSError, StorageError) as error:
            return {"type": "failed", "how": "storage", "reason": shorten(str(error))}
        finally:
            training.file.unlink(missing_ok=True)
            shutil.rmtree(self._bench.artefacts / job["run"], ignore_errors=True)

    def _delivered(self, run: str, outcome: Mapping[str, Any]) -> Mapping[str, Any]:
        """An outcome whose model is at home."""
        if "artefact" not in outcome:
            return outcome
        content = Path(outcome["artefact"]).read_bytes()
        return {**outcome, "artefact": self._home.keep_model(run, content)}


class _Training:
    """The training file of a trial away from home.

    Args:
        file: here.
        home: where it is kept.
    """

    def __init__(self, file: Path, home: Home) -> None:
        self.file, self._home = file, home
        self._sent: int | None = None

    def bring(self) -> None:
        """Fetches what an earlier run of the trial left."""
        content = self._home.training(self.file.name)
        if content is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(content)
            self._sent = self.file.stat().st_mtime_ns

    def sending(self, report: Report) -> Report:
        """A report that sends the file home whenever it is another one."""

        def send_and_report(progress: Progress) -> bool:
            written = self.file.stat().st_mtime_ns if self.file.exists() else None
            if written not in (None, self._sent):
                self._home.keep_training(self.file.name, self.file.read_bytes())
                self._sent = written
            return report(progress)

        return send_and_report
