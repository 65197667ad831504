"""The local engine: worker processes on this machine, the processors divided among them."""

import math
import os
import selectors
import sys
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from automl_rec.errors import SpaceError, StudyFailedError
from automl_rec.search.engine import Event, Failed, Finished, Job, Reported, Setup, Started
from automl_rec.search.memory import held_bytes, too_large
from automl_rec.search.worker_process import WorkerProcess
from automl_rec.space.space import Resources

GRACE_SECONDS = 5.0
WATCH_SECONDS = 1.0
SILENCE_SECONDS = 300.0
"""Native code may hold the interpreter for minutes, in which a worker cannot say that it lives."""

START_SECONDS = 300.0
"""A worker imports and opens files; from a busy network disk that takes a minute or more."""

TRIALS_PER_PROCESS = 64
"""A worker is replaced after so many: what plugins leak is given back."""

LEFT_OVER_BYTES = 256_000_000
"""A worker that holds so much more after a trial than before its first is replaced. The allocator
keeps some of what a trial has freed, and what it imported stays: measured, 20 to 85 MB a model on
MovieLens small. A replacement costs 1.6 seconds of a processor."""

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


def default_workers(cpus: int | None = None) -> int:
    """One worker a processor, or for each ``cpus`` of them: trials scale better than threads.

    There are eight at most, and at least one.
    """
    return max(1, min(processors() // (cpus or 1), 8))


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """Worker processes; see `search.engine.Engine` for the methods.

    The processes start at once, so that their imports run beside the study's own preparations.

    Args:
        workers: how many.
        logs: folder for what workers print.
        resources: what a worker may use; where they say nothing of processors, each gets an equal
            share.
        grace_seconds: how long a trial may exceed its seconds before its worker is killed.
        silence_seconds: how long a worker with a job may give no sign of life before it is killed.
        start_seconds: how long a worker may take to become ready before it is killed.

    Raises:
        SpaceError: resources that only a cluster has are asked for.
    """

    def __init__(
        self,
        workers: int,
        logs: Path,
        resources: Resources = Resources(),  # noqa: B008 - it never changes
        *,
        grace_seconds: float = GRACE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> None:
        _check(resources)
        self._logs, self._memory = logs, resources.memory
        self._grace_seconds, self._silence_seconds = grace_seconds, silence_seconds
        self._start_seconds = start_seconds
        logs.mkdir(parents=True, exist_ok=True)
        self._setup: Setup | None = None
        self._selector = selectors.DefaultSelector()
        self._threads = resources.cpus or max(1, processors() // workers)
        self._events: deque[Event] = deque()
        self._deaths_unready = 0
        self._watched = time.monotonic()
        self._processes = [self._spawn(f"worker-{number}") for number in range(workers)]

    @property
    def workers(self) -> int:
        """How many jobs run at once."""
        return len(self._processes)

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        self._setup, self._watched = setup, time.monotonic()
        for process in self._processes:
            process.send(asdict(setup))

    def start(self, job: Job) -> str:
        """See `Engine.start`."""
        idle = (process for process in self._processes if process.job is None)
        process = min(idle, key=lambda process: not process.ready)
        process.take(job)
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
        for key, _ in self._selector.select(max(0.0, min(seconds, WATCH_SECONDS))):
            self._read(key.data)
        now = time.monotonic()
        for process in [p for p in self._processes if p.overdue(now, self._grace_seconds)]:
            self._end_overdue(process)
        if now - self._watched >= WATCH_SECONDS:
            self._watch(now - self._watched)
            self._watched = now
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

    def _spawn(self, name: str) -> WorkerProcess:
        environment = SHORT_SPIN | os.environ | dict.fromkeys(THREAD_VARIABLES, str(self._threads))
        # Workers import what this process imports, wherever it was started.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        process = WorkerProcess.begin(name, self._logs / f"{name}.log", environment)
        self._selector.register(process.output, selectors.EVENT_READ, process)
        if self._setup is not None:
            process.send(asdict(self._setup))
        return process

    def _read(self, process: WorkerProcess) -> None:
        messages = process.receive()
        if messages is None:
            self._lose(process, process.ending())
            return
        for message in messages:
            self._hear(process, message)

    def _hear(self, process: WorkerProcess, message: dict[str, Any]) -> None:
        kind, job = message.pop("type"), process.job
        if kind == "ready":
            process.ready, self._deaths_unready = True, 0
            process.first_held = message["held"]
        elif kind == "broken":
            raise StudyFailedError(
                f"A worker process could not prepare itself: {message['reason']}"
            )
        elif kind == "alive" or job is None:
            return
        elif kind == "started":
            process.began = time.monotonic()
            self._events.append(Started(job, process.name))
        elif kind == "reported":
            self._events.append(Reported(job, **message))
        else:
            left_over = message.pop("held") - process.first_held
            process.job = None
            made = Finished if kind == "finished" else Failed
            self._events.append(made(job, process.name, **message))
            if process.trials >= TRIALS_PER_PROCESS or left_over > LEFT_OVER_BYTES:
                # At once: the imports of the next one run beside the work of others.
                self._replace(process)

    def _watch(self, seconds: float) -> None:
        """Looks after the workers, so many seconds after it did so last."""
        self._watch_memory()
        for process in list(self._processes):
            # Seconds in which this process itself did not listen tell nothing of another.
            process.silent += min(seconds, 2 * WATCH_SECONDS)
            if process.dead and process.silent > 2 * WATCH_SECONDS:
                # A process that a plugin started in it has kept its pipe open.
                self._lose(process, process.ending())
            elif process.silent > self._patience(process):
                self._lose(process, f"was silent for {process.silent:.0f} s and was ended.")

    def _watch_memory(self) -> None:
        if self._memory is None:
            return
        busy = {p.popen.pid: p for p in self._processes if p.job is not None and p.began}
        for pid, held in held_bytes(busy.keys()).items():
            if held > self._memory:
                self._end(busy[pid], "memory", too_large(held, self._memory))

    def _patience(self, process: WorkerProcess) -> float:
        """Seconds for which a worker may be silent now."""
        if not process.ready:
            return self._start_seconds
        return math.inf if process.job is None else self._silence_seconds

    def _end_overdue(self, process: WorkerProcess) -> None:
        job = process.job
        assert job is not None
        reason = f"It ran {self._grace_seconds:g} s beyond its {job.end:.3g} s and was ended."
        self._end(process, "overtime", reason)

    def _end(
        self, process: WorkerProcess, how: Literal["overtime", "memory", "died"], reason: str
    ) -> None:
        """Ends a worker whose job is lost by that."""
        assert process.job is not None
        self._events.append(Failed(process.job, process.name, how, reason))
        self._replace(process)

    def _lose(self, process: WorkerProcess, how: str) -> None:
        """Another takes the place of a worker that came to an end."""
        if process.ready and process.job is not None:
            self._end(process, "died", f"Its worker {how}")
            return
        self._replace(process)
        self._deaths_unready += not process.ready
        if self._deaths_unready > 2 * len(self._processes):
            raise StudyFailedError(
                f"Worker processes cannot start: {process.name} {how} See {process.log}."
            )
        if process.job is not None:
            # It had not begun, so it is not what ended the worker.
            self.start(process.job)

    def _replace(self, process: WorkerProcess) -> None:
        self._forget(process)
        self._processes[self._processes.index(process)] = self._spawn(process.name)

    def _forget(self, process: WorkerProcess) -> None:
        self._selector.unregister(process.output)
        process.end()


def _check(resources: Resources) -> None:
    """Refuses what only a cluster can give.

    Raises:
        SpaceError: see above.
    """
    if resources.gpus > 0:
        raise SpaceError(
            f"resources.gpus must be 0 on the local engine, which does not divide GPUs among its "
            f"workers, got {resources.gpus:g}. Search with --engine ray, or leave it out."
        )
    if resources.custom:
        raise SpaceError(
            f"resources.custom must be left out on the local engine, which knows processors and "
            f"memory alone, got {', '.join(resources.custom)}. Search with --engine ray, or leave "
            f"it out."
        )
