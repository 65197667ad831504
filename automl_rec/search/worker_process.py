"""One worker process of the local engine, as its parent has it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from automl_rec.search.engine import Job

END_SECONDS = 5.0
"""A process that has not ended by then cannot: its disk does not answer."""


@dataclass(eq=False)
class WorkerProcess:
    """One worker process with what it is doing.

    Attributes:
        log_start: size of the log when the process, or its job, began.
        first_held: bytes it held when it was ready, as `memory.own_bytes` counts.
        began: when it began its job, by `time.monotonic`; None before.
        trials: how many it was given.
        silent: seconds since anything was heard of it.
    """

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    log_start: int
    ready: bool = False
    first_held: int = 0
    job: Job | None = None
    began: float | None = None
    trials: int = 0
    silent: float = 0.0
    _buffer: bytes = field(default=b"", init=False)

    @classmethod
    def begin(cls, name: str, log: Path, environment: Mapping[str, str]) -> Self:
        """Starts one.

        Args:
            name: by which it is told apart.
            log: file that what it prints is added to.
            environment: its variables.
        """
        log_start = _size(log)
        # Appended: the successor of a worker that died must not wipe out what it said.
        with log.open("ab") as errors:
            popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "automl_rec.search.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                # Ctrl-C in the terminal reaches this process only; it ends the workers.
                start_new_session=True,
            )
        assert popen.stdout is not None
        os.set_blocking(popen.stdout.fileno(), False)
        return cls(name, popen, log, log_start)

    @property
    def output(self) -> int:
        """Descriptor of the pipe that it tells by."""
        assert self.popen.stdout is not None
        return self.popen.stdout.fileno()

    def take(self, job: Job) -> None:
        """Gives it a job."""
        self.job, self.began, self.silent = job, None, 0.0
        self.log_start = _size(self.log)
        self.trials += 1
        fields = ("configuration", "seed", "training", "run", "seconds", "keep")
        self.send({name: getattr(job, name) for name in fields})

    def send(self, message: Mapping[str, Any]) -> None:
        """Tells it something."""
        assert self.popen.stdin is not None
        # A worker that has just died is noticed, with its reason, when its pipe is read.
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(json.dumps(message).encode() + b"\n")
            self.popen.stdin.flush()

    def receive(self) -> list[dict[str, Any]] | None:
        """What it has told since; None where it has closed its pipe."""
        chunk = os.read(self.output, 1 << 16)
        if not chunk:
            return None
        self.silent = 0.0
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    @property
    def dead(self) -> bool:
        """Whether it has ended, by itself or by others."""
        return self.popen.poll() is not None

    def overdue(self, now: float, grace_seconds: float) -> bool:
        """Whether its job should have ended so many seconds ago."""
        if self.job is None or self.began is None or self.job.end is None:
            return False
        return now > self.began + self.job.end + grace_seconds

    def ending(self) -> str:
        """How it ended by itself, with the last line that it printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(END_SECONDS)
        status = self.popen.returncode
        if status is None:
            return "closed its pipe."
        name = signal.Signals(-status).name if status < 0 else ""
        ended = f"was killed by {name}" if name else f"exited ({status})"
        text = self.log.read_bytes()[self.log_start :] if self.log.is_file() else b""
        lines = text.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{ended}: {last[:300]}." if last else f"{ended}."

    def end(self) -> None:
        """Kills it, and the processes that plugins have started in it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(END_SECONDS)
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _size(log: Path) -> int:
    return log.stat().st_size if log.is_file() else 0
