"""The local engine: worker processes on this machine, the processors divided among them."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from automl_rec.errors import StudyFailedError
from automl_rec.search.engine import Event, Failed, Finished, Job, Reported, Setup, Started

GRACE_SECONDS = 5.0
TRIALS_PER_PROCESS = 64
"""A worker is replaced after so many: what plugins leak is given back."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
)

SHORT_SPIN = {"GOMP_SPINCOUNT": "2000"}
"""OpenMP threads sleep soon when they wait for each other. By default they spin for milliseconds,
which on a machine with other work takes the processor from the thread waited for: measured, a
command with two threads on two processors under a load of 3 took 20 to 44 s in place of 5 s."""


def default_workers() -> int:
    """One worker a processor, eight at most: trials scale better than threads."""
    return max(1, min(processors(), 8))


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Process:
    """One worker process with what it is doing."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    log_start: int
    ready: bool = False
    job: Job | None = None
    began: float | None = None
    trials: int = 0
    buffer: bytearray = field(default_factory=bytearray)

    def send(self, message: dict[str, Any]) -> None:
        assert self.popen.stdin is not None
        # A worker that has just died is noticed, with its reason, when its pipe is read.
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(json.dumps(message).encode() + b"\n")
            self.popen.stdin.flush()

    def overdue(self, now: float, grace_seconds: float) -> bool:
        if self.job is None or self.began is None or self.job.end is None:
            return False
        return now > self.began + self.job.end + grace_seconds

    def end(self) -> int:
        """Kills the process and gives its exit status."""
        self.popen.kill()
        status = self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return status


class LocalEngine:
    """Worker processes; see `search.engine.Engine` for the methods.

    The processes start at once, so that their imports run beside the study's own preparations.

    Args:
        workers: how many; each gets an equal share of the processors.
        logs: folder for what workers print.
        grace_seconds: how long a trial may exceed its seconds before its worker is killed.
    """

    def __init__(self, workers: int, logs: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self._logs, self._grace_seconds = logs, grace_seconds
        logs.mkdir(parents=True, exist_ok=True)
        self._setup: Setup | None = None
        self._selector = selectors.DefaultSelector()
        self._threads = max(1, processors() // workers)
        self._events: deque[Event] = deque()
        self._deaths_unready = 0
        self._processes = [self._spawn(f"worker-{number}") for number in range(workers)]

    @property
    def workers(self) -> int:
        """How many jobs run at once."""
        return len(self._processes)

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        self._setup = setup
        for process in self._processes:
            process.send(asdict(setup))

    def start(self, job: Job) -> str:
        """See `Engine.start`."""
        process = next(p for p in self._processes if p.job is None)
        if process.trials >= TRIALS_PER_PROCESS:
            process = self._replace(process)
        process.job, process.began = job, None
        process.log_start = _size(process.log)
        process.trials += 1
        fields = ("configuration", "seed", "uuid", "run", "seconds")
        process.send({name: getattr(job, name) for name in fields})
        return process.name

    def answer(self, job: Job, *, proceed: bool) -> None:
        """See `Engine.answer`."""
        for process in self._processes:
            if process.job == job:
                process.send({"proceed": proceed})

    def wait(self, seconds: float) -> list[Event]:
        """See `Engine.wait`.

        Raises:
            StudyFailedError: workers cannot start.
        """
        for key, _ in self._selector.select(max(0.0, seconds)):
            self._read(key.data)
        now = time.monotonic()
        for process in [p for p in self._processes if p.overdue(now, self._grace_seconds)]:
            self._end_overdue(process)
        events = list(self._events)
        self._events.clear()
        return events

    def cancel(self, job: Job) -> None:
        """See `Engine.cancel`."""
        for process in [p for p in self._processes if p.job == job]:
            self._replace(process)

    def close(self) -> None:
        """See `Engine.close`."""
        for process in self._processes:
            self._forget(process)
        self._processes = []
        self._selector.close()

    def _spawn(self, name: str) -> _Process:
        environment = SHORT_SPIN | os.environ | dict.fromkeys(THREAD_VARIABLES, str(self._threads))
        # Workers import what this process imports, wherever it was started.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        log = self._logs / f"{name}.log"
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
        process = _Process(name, popen, log, log_start)
        self._selector.register(popen.stdout, selectors.EVENT_READ, process)
        if self._setup is not None:
            process.send(asdict(self._setup))
        return process

    def _read(self, process: _Process) -> None:
        assert process.popen.stdout is not None
        chunk = os.read(process.popen.stdout.fileno(), 1 << 16)
        if not chunk:
            self._bury(process)
            return
        process.buffer += chunk
        *lines, rest = process.buffer.split(b"\n")
        process.buffer = bytearray(rest)
        for line in lines:
            self._hear(process, json.loads(line))

    def _hear(self, process: _Process, message: dict[str, Any]) -> None:
        kind, job = message.pop("type"), process.job
        if kind == "ready":
            process.ready, self._deaths_unready = True, 0
        elif kind == "broken":
            raise StudyFailedError(
                f"A worker process could not prepare itself: {message['reason']}"
            )
        elif job is None:
            return
        elif kind == "started":
            process.began = time.monotonic()
            self._events.append(Started(job, process.name))
        elif kind == "reported":
            self._events.append(Reported(job, **message))
        else:
            process.job = None
            made = Finished if kind == "finished" else Failed
            self._events.append(made(job, process.name, **message))

    def _end_overdue(self, process: _Process) -> None:
        job = process.job
        assert job is not None
        reason = f"It ran {self._grace_seconds:g} s beyond its {job.end:.3g} s and was ended."
        self._events.append(Failed(job, process.name, "overtime", reason))
        self._replace(process)

    def _bury(self, process: _Process) -> None:
        """A worker has closed its pipe by dying: another takes its place."""
        job, ready = process.job, process.ready
        how = _describe(process.popen.wait(), process.log, process.log_start)
        self._replace(process)
        if job is not None and ready:
            self._events.append(Failed(job, process.name, "died", f"Its worker {how}"))
            return
        self._deaths_unready += 1
        if self._deaths_unready > 2 * len(self._processes):
            raise StudyFailedError(
                f"Worker processes cannot start: {process.name} {how} See {process.log}."
            )
        if job is not None:
            self.start(job)

    def _replace(self, process: _Process) -> _Process:
        self._forget(process)
        fresh = self._spawn(process.name)
        self._processes[self._processes.index(process)] = fresh
        return fresh

    def _forget(self, process: _Process) -> None:
        assert process.popen.stdout is not None
        self._selector.unregister(process.popen.stdout)
        process.end()


def _describe(status: int, log: Path, start: int) -> str:
    """How a process ended, with the last line it printed since its log was of a size."""
    ended = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited ({status})"
    text = log.read_bytes()[start:] if log.is_file() else b""
    lines = text.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{ended}: {last[:300]}." if last else f"{ended}."


def _size(log: Path) -> int:
    return log.stat().st_size if log.is_file() else 0
