"""Which entries stay: exactly as many as asked for, the largest ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of one matrix, which compete to stay.

    Attributes:
        magnitudes: (N,) absolute values of those present.
        rows: of the matrix.
        columns: of the matrix.
        spared: (N,) bool: entries that stay whatever their size, or None.
    """

    magnitudes: Tensor
    rows: int
    columns: int
    spared: Tensor | None = None

    @property
    def size(self) -> int:
        """Places of the matrix, of which a density is a share."""
        return self.rows * self.columns


def budget(density: float, size: float) -> int:
    """Number of entries that stay of so many."""
    return round(density * size)


def of_row(density: float, columns: int) -> int:
    """Number of entries that stay of each row of so many columns: at least one."""
    return max(budget(density, columns), 1)


def largest(magnitudes: Tensor, count: int) -> Tensor:
    """The ``count`` largest entries of magnitudes (N,): (N,) bool; ties go to the first."""
    if count >= len(magnitudes):
        return torch.ones(len(magnitudes), dtype=torch.bool)
    if count <= 0:
        return torch.zeros(len(magnitudes), dtype=torch.bool)
    values = magnitudes.numpy()
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    kept = values > threshold
    ties = np.flatnonzero(values == threshold)
    kept[ties[: count - int(kept.sum())]] = True
    return torch.from_numpy(kept)


def uniform(matrices: Sequence[Entries], density: float) -> list[Tensor]:
    """The same density for every matrix: (N,) bool each."""
    return [largest(own.magnitudes, budget(density, own.size)) for own in matrices]


def by_shape(matrices: Sequence[Entries], density: float) -> list[Tensor]:
    """Densities that shapes deserve, see `shape_densities`: (N,) bool each."""
    densities = shape_densities([(own.rows, own.columns) for own in matrices], density)
    return [
        largest(own.magnitudes, budget(share, own.size))
        for own, share in zip(matrices, densities, strict=True)
    ]


def shape_densities(shapes: Sequence[tuple[int, int]], density: float) -> list[float]:
    """A density for each shape (m, n), by ``(m + n) / (m n)``, with one overall density.

    Those that would exceed 1 stay whole, and the others share what is left.

    Source: Evci et al., ICML 2020, section 3: the Erdos-Renyi rule of Mocanu et al., 2018.
    """
    sizes = [rows * columns for rows, columns in shapes]
    sums = [rows + columns for rows, columns in shapes]
    left, shared = density * sum(sizes), list(range(len(shapes)))
    while shared:
        factor = left / sum(sums[n] for n in shared)  # entries for each row and column
        whole = [n for n in shared if factor * sums[n] >= sizes[n]]
        if not whole:
            break
        left -= sum(sizes[n] for n in whole)
        shared = [n for n in shared if n not in whole]
    return [factor * sums[n] / sizes[n] if n in shared else 1.0 for n in range(len(shapes))]


def overall(matrices: Sequence[Entries], density: float) -> list[Tensor]:
    """One density for all matrices together: (N,) bool each; those spared count."""
    joined = torch.cat([own.magnitudes for own in matrices])
    spared = torch.cat([_spared(own) for own in matrices])
    count = budget(density, sum(own.size for own in matrices))
    kept = largest(torch.where(spared, torch.inf, joined), max(count, int(spared.sum())))
    return list(kept.split([len(own.magnitudes) for own in matrices]))


def largest_of_each_row(values: Tensor) -> Tensor:
    """The largest entry by size of each row of values (N, D): (N, D) bool; ties to the first."""
    # numpy's argmax is the first of equals; torch leaves the choice open.
    first = torch.from_numpy(values.abs().numpy().argmax(1))
    return torch.arange(values.shape[1]) == first[:, None]


def _spared(entries: Entries) -> Tensor:
    if entries.spared is None:
        return torch.zeros(len(entries.magnitudes), dtype=torch.bool)
    return entries.spared
