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
from dataclasses import asdict
from typing import Any, TextIO

from automl_rec.errors import AutomlRecError
from automl_rec.search.bench import Bench, Message, Report
from automl_rec.training.progress import Progress


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


def serve(channel: Channel) -> None:
    """Runs what the parent sends, until it closes the pipe."""
    try:
        bench = Bench.of(channel.receive())
    except AutomlRecError as error:
        channel.send(type="broken", reason=str(error))
        return
    channel.send(type="ready")
    while True:
        job = channel.receive()
        channel.send(type="started")
        channel.send(**bench.attempt(job, _reporter(channel)))
        gc.collect()


def _reporter(channel: Channel) -> Report:
    """Tells the parent of a validation, and waits for its word."""

    def report(progress: Progress) -> bool:
        channel.send(type="reported", **asdict(progress))
        return bool(channel.receive()["proceed"])

    return report


if __name__ == "__main__":
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Channel())
    sys.exit(1)
