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
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import psutil

from automl_rec.errors import AutomlRecError
from automl_rec.search.bench import Bench, Message, Report
from automl_rec.search.memory import own_bytes
from automl_rec.training.progress import Progress

BEAT_SECONDS = 2.0
SACRIFICE = 500
"""Where the machine's memory runs out, the kernel counts a worker as this many thousandths of it
larger than it is: it goes before the search, and before any process that has less than half."""


class Channel:
    """Lines to and from the parent, on descriptors that no print can reach."""

    def __init__(self) -> None:
        self._inbound: TextIO = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._outbound: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        self._sending = threading.Lock()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def receive(self) -> Message:
        """The parent's next message."""
        return self._messages.get()

    def send(self, **message: Any) -> None:
        """Tells the parent."""
        try:
            with self._sending:
                self._outbound.write(json.dumps(message) + "\n")
                self._outbound.flush()
        except OSError:
            os._exit(0)

    def beat(self) -> None:
        """Tells the parent every few seconds, from now on, that this process is alive."""
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            self.send(type="alive")

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
    process = psutil.Process()
    channel.send(type="ready", held=own_bytes(process))
    channel.beat()
    while True:
        job = channel.receive()
        channel.send(type="started")
        found = bench.attempt(job, _reporter(channel))
        # What the trial has left in memory is told with its outcome.
        gc.collect()
        channel.send(**found, held=own_bytes(process))


def _reporter(channel: Channel) -> Report:
    """Tells the parent of a validation, and waits for its word."""

    def report(progress: Progress) -> bool:
        channel.send(type="reported", **asdict(progress))
        return bool(channel.receive()["proceed"])

    return report


def _give_way() -> None:
    """Makes the kernel take this process where the machine's memory runs out (Linux)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(SACRIFICE))


if __name__ == "__main__":
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _give_way()
    serve(Channel())
    sys.exit(1)
