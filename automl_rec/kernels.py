"""Kernels: how each sparse matrix of a served model is computed with, by the clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from automl_rec.costs import PRICED_ROWS, weights_of
from automl_rec.plugin import RankingModel, Weight
from automl_rec.plugin.matrices.expanding import KERNELS, ExpandingMatrix, Kernel
from automl_rec.served import Served

REPEATS = 7
PREFERENCE = 0.9
"""The dense kernel takes more memory: it must take less than this share of the others' time."""
LARGEST = 16_000_000
"""Places of a matrix (64 MB) that is not tried with its zeros."""


def choose_kernels(served: Served) -> None:
    """Gives each sparse matrix the kernel that is fastest here, on one thread.

    Each is timed at what one answer asks of it: as many products and rows as scoring one user, or
    judging `PRICED_ROWS` rows, takes. The choice is part of the structure, so that what is loaded
    again computes as what was measured.

    Args:
        served: the finished model; its type excludes masked training modules.

    Raises:
        TypeError: the model is not what would be served.
    """
    if not isinstance(served, Served):
        raise TypeError(f"kernels are chosen of what is served, got {type(served).__name__}")
    answers = PRICED_ROWS if isinstance(served.model, RankingModel) else 1
    with one_thread(), torch.no_grad():
        for weight in weights_of(served.model).values():
            for part in weight.matrix.modules():
                if isinstance(part, ExpandingMatrix) and part.rows * part.columns <= LARGEST:
                    part.kernel = _fastest(part, _asked(weight, part, answers))


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes on one thread, as a service does that answers many at once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _asked(weight: Weight, part: ExpandingMatrix, answers: int) -> Callable[[], None]:
    """What one answer asks of a matrix, on random numbers."""
    generator = torch.Generator().manual_seed(0)
    products = round(weight.use.products * answers)
    x = torch.randn(max(products, 1), part.columns, generator=generator)
    read = max(round(weight.use.rows * answers), 1)
    ids = torch.randint(part.rows, (read,), generator=generator)

    def ask() -> None:
        if weight.use.products or not weight.use.rows:
            part.multiply(x)
        if weight.use.rows and weight.role == "item-item":
            part.bag(torch.tensor([0, read]), ids)
        elif weight.use.rows:
            part.gather(ids)

    return ask


def _fastest(part: ExpandingMatrix, ask: Callable[[], None]) -> Kernel:
    taken = dict[Kernel, float]()
    for kernel in KERNELS:
        part.kernel = kernel
        ask()  # expands what the kernel keeps
        taken[kernel] = min(_seconds(ask) for _ in range(REPEATS))
    written = taken.pop("dense")
    compressed = min(taken, key=lambda kernel: taken[kernel])
    return "dense" if written < PREFERENCE * taken[compressed] else compressed


def _seconds(ask: Callable[[], None]) -> float:
    start = time.perf_counter()
    ask()
    return time.perf_counter() - start
