"""Measurements in processes of their own, on as many threads as are said."""

import multiprocessing
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from studies.results import Line

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
LOADED_ONCE = ["torch", "automl_rec.evaluation", "automl_rec.search.shipping"]
"""Modules that every training needs, which take longer to load than some trainings."""
PROCESSES = multiprocessing.get_context("forkserver")
Measure = Callable[[dict[str, Any]], Iterable[Line]]


def environment(threads: int | None = 1) -> dict[str, str]:
    """The environment of a process on some threads; None for as many as there are processors."""
    rest = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    return rest if threads is None else rest | dict.fromkeys(THREAD_VARIABLES, str(threads))


def run(module: str, *arguments: object) -> int:
    """Runs a module of the studies on one thread; its exit status, or the signal that ended it."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return abs(subprocess.run(command, env=environment(), check=False).returncode)


def measure(measured: Measure, asked: dict[str, Any]) -> Iterator[Line]:
    """The lines that a process of its own finds; the last has ``failed`` and ``log`` if it did.

    `use_one_thread` must have been called.
    """
    receiving, sending = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_send, args=(measured, asked, sending))
    process.start()
    sending.close()
    while (line := _received(receiving)) is not None:
        yield line
    process.join()
    if process.exitcode:
        yield {"failed": f"ended with status {process.exitcode}", "log": ""}


def use_one_thread() -> None:
    """Prepares processes that measure, each on one thread."""
    os.environ.update(environment())
    PROCESSES.set_forkserver_preload(LOADED_ONCE)


def _received(receiving: Connection) -> Line | None:
    try:
        line: Line = receiving.recv()
    except EOFError:
        return None
    return line


def _send(measured: Measure, asked: dict[str, Any], sending: Connection) -> None:
    try:
        for line in measured(asked):
            sending.send(line)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other measurements go on
        sending.send({"failed": f"{type(error).__name__}: {error}", "log": traceback.format_exc()})


def peak_bytes() -> int:
    """Most resident memory of this process so far."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
