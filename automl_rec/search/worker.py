"""A worker of the local engine: ``python -m automl_rec.search.worker``, JSON lines over pipes.

It holds nothing but the prepared data, memory-mapped, and its own registry; configurations come in
and measurements go out as plain data. It ends when its parent does.
"""

import gc
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from automl_rec import export
from automl_rec.data import Prepared
from automl_rec.errors import AutomlRecError, Infeasible
from automl_rec.evaluation import Outcome, evaluate
from automl_rec.objectives.objective import Objective
from automl_rec.registry import Registry
from automl_rec.search.reason import reason_of, shorten
from automl_rec.space.configuration import Configuration
from automl_rec.training.progress import Progress

Message: TypeAlias = Mapping[str, Any]


class Channel:
    """Lines to and from the parent, on descriptors that no print can reach."""

    def __init__(self) -> None:
        self._inbound: TextIO = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._outbound: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def receive(self) -> Message:
        """The parent's next message."""
        return self._messages.get()

    def send(self, **message: Any) -> None:
        """Tells the parent."""
        try:
            self._outbound.write(json.dumps(message) + "\n")
            self._outbound.flush()
        except OSError:
            os._exit(0)

    def _read(self) -> None:
        for line in self._inbound:
            self._messages.put(json.loads(line))
        # The parent is gone, perhaps killed: nobody needs this training.
        os._exit(0)


@dataclass(frozen=True, slots=True)
class Bench:
    """What stays between trials."""

    data: Prepared
    objectives: tuple[Objective, ...]
    registry: Registry
    artefacts: Path

    @classmethod
    def of(cls, message: Message) -> "Bench":
        """The bench that the parent's first message describes.

        Raises:
            DataError: the prepared data cannot be opened.
            PluginError: a plugin is broken in a way that no trial can go round.
        """
        return cls(
            Prepared.open(message["data"]),
            tuple(Objective(**fields) for fields in message["objectives"]),
            Registry.discover(without=message["without"]),
            Path(message["artefacts"]),
        )

    def run(self, message: Message, report: Callable[[Progress], bool]) -> dict[str, Any]:
        """Runs one trial and writes its model.

        Raises:
            Infeasible: the configuration cannot be built on these data.
            DivergenceError: training left the finite numbers.
            ExportError: the model could not be written.
        """
        configuration = Configuration.from_dict(message["configuration"])
        evaluated = evaluate(
            configuration,
            self.data,
            self.objectives,
            self.registry,
            seed=message["seed"],
            report=report,
            seconds=message["seconds"],
        )
        found = _plain(evaluated.outcome)
        if evaluated.served is not None:
            path = self.artefacts / configuration.digest / export.MODEL
            export.write_model(path, evaluated.served, configuration)
            found |= {
                "artefact": str(path),
                "artefact_sha256": export.sha256(path),
                "artefact_bytes": path.stat().st_size,
            }
        return found


def serve(channel: Channel) -> None:
    """Runs what the parent sends, until it closes the pipe."""
    try:
        bench = Bench.of(channel.receive())
    except AutomlRecError as error:
        channel.send(type="broken", reason=str(error))
        return
    channel.send(type="ready")
    while True:
        message = channel.receive()
        channel.send(type="started")
        channel.send(**_attempt(bench, message, channel))
        gc.collect()


def _attempt(bench: Bench, message: Message, channel: Channel) -> dict[str, Any]:
    def report(progress: Progress) -> bool:
        channel.send(
            type="reported",
            epoch=progress.epoch,
            epochs=progress.epochs,
            quality=progress.quality,
            standard_error=progress.standard_error,
            seconds=progress.seconds,
        )
        return bool(channel.receive()["proceed"])

    try:
        return {"type": "finished", **bench.run(message, report)}
    except Infeasible as error:
        return {"type": "failed", "how": "infeasible", "reason": shorten(str(error))}
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the study goes on
        traceback.print_exc()
        return {"type": "failed", "how": "error", "reason": reason_of(error)}


def _plain(outcome: Outcome) -> dict[str, Any]:
    measured = outcome.measurements.items()
    return {
        "measurements": {name: (found.value, found.standard_error) for name, found in measured},
        "train_seconds": outcome.train_seconds,
        "stopped": outcome.stopped,
    }


if __name__ == "__main__":
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Channel())
    sys.exit(1)
