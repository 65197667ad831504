"""The memory that a worker holds, by which it is ended or replaced."""

import contextlib
from collections.abc import Collection

import psutil

from automl_rec.objectives.amount import amount


def own_bytes(process: psutil.Process) -> int:
    """The resident memory of a process without pages of files.

    Workers share those of the prepared data and of libraries, and the kernel takes them back when
    it needs them. Where it does not tell them apart (macOS), they count.

    Raises:
        psutil.Error: there is no such process.
    """
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def too_large(held: int, memory: int) -> str:
    """Why a trial was ended that holds more bytes than ``resources.memory`` of its space."""
    return (
        f"It used {amount(held, 'B')} of memory, more than the "
        f"{amount(memory, 'B')} that resources.memory allows, and was ended."
    )


def family_bytes(process: psutil.Process) -> int:
    """What a process holds together with all that it has started, as `own_bytes` counts."""
    held = own_bytes(process)
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            held += own_bytes(child)
    return held


def held_bytes(pids: Collection[int]) -> dict[int, int]:
    """What children of this process hold, together with all that they have started.

    Args:
        pids: of the children.

    Returns:
        Process id -> bytes, as `own_bytes` counts.
    """
    held = dict.fromkeys(pids, 0)
    workers = {pid: pid for pid in pids}
    # One look at all processes, however many workers there are; parents come before children.
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            worker = workers.get(process.pid) or workers.get(process.ppid())
            if worker is not None:
                workers[process.pid] = worker
                held[worker] += own_bytes(process)
    return held
