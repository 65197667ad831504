"""The largest entries stay."""

from collections.abc import Mapping, Sequence
from typing import Literal

import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import (
    BitmapMatrix,
    CsrMatrix,
    Form,
    Matrix,
    Phase,
    Sparsity,
    Step,
    TrainableMatrix,
    Weight,
    keep,
    leaves,
    map_leaves,
)
from automl_rec_sparsity.bounds import kept_of_each, kept_overall
from automl_rec_sparsity.schedule import CubicSchedule
from automl_rec_sparsity.selection import Entries, largest_of_each_row, overall, uniform


class Magnitude(Sparsity):
    """Keeps the entries of largest absolute value, once after training or more and more during it.

    Exactly ``round(density * rows * columns)`` entries of every matrix stay, or of all together;
    where fewer are present (a model that stores its weight sparse), those stay. Ties go to the
    first in row order. While a model trains, masked entries keep their value and may return until
    the schedule ends; afterwards masks are fixed. What is served is always pruned to the full,
    also where training ended early.

    Source: Zhu and Gupta, 2017 (gradual, equation 1); one-shot and the global scope are folklore.
    """

    def __init__(
        self,
        density: float,
        mode: Literal["one-shot", "gradual"],
        scope: Literal["uniform", "global"],
        start: float = 0.15,
        end: float = 0.75,
        every: int = 10,
        *,
        spare_rows: bool = False,
    ) -> None:
        """Sets the scheme.

        Args:
            density: share of entries that stays.
            mode: when entries go.
            scope: whether every matrix has this density, or all together.
            start: share of training after which gradual pruning begins.
            end: share of training at which it ends.
            every: optimiser steps between updates of the masks.
            spare_rows: whether the largest entry of each row stays under the global scope.
        """
        self.density, self.scope, self.spare_rows = density, scope, spare_rows
        self._gradual = mode == "gradual"
        self._start, self._end, self._every = start, end, every
        self._trained: list[TrainableMatrix] = []

    @property
    def acts_in_training(self) -> bool:
        """See `Sparsity.acts_in_training`."""
        return self._gradual

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`: what is trained before the last is not pruned."""
        return (Phase("prune"),) if self._gradual else ()

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.join`."""
        matrices = (leaf for weight in weights.values() for leaf in leaves(weight.matrix))
        self._trained = [matrix for matrix in matrices if isinstance(matrix, TrainableMatrix)]
        for matrix in self._trained:
            matrix.mask = torch.ones_like(matrix.weight)

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`: everything is inside the masks."""
        for matrix in self._trained:
            assert matrix.mask is not None, "masks are set when it joins"
            matrix.mask.fill_(1.0)

    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`."""
        schedule = CubicSchedule.over(step.total, self.density, self._start, self._end, self._every)
        if not schedule.updates_at(step.number):
            return
        values = [matrix.weight.detach() for matrix in self._trained]
        kept = self._chosen([self._entries(v) for v in values], schedule.density_at(step.number))
        for matrix, own in zip(self._trained, kept, strict=True):
            assert matrix.mask is not None, "masks are set when it joins"
            matrix.mask.copy_(own.reshape(matrix.mask.shape))

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact for dense weights of known rank under the uniform scope."""
        if self.scope == "uniform":
            return kept_of_each(forms, self.density)
        return kept_overall(forms, self.density, spare_rows=self.spare_rows)

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        dense = {name: weight for name, weight in weights.items() if weight.limit is None}
        sparse = {name: _csr(w.matrix) for name, w in weights.items() if w.limit is not None}
        stored = [leaf for weight in dense.values() for leaf in leaves(weight.matrix)]
        entries = [self._entries(leaf.dense()) for leaf in stored]
        entries += [_present(matrix) for matrix in sparse.values()]
        kept = iter(self._chosen(entries, self.density))
        for weight in dense.values():
            weight.matrix = map_leaves(weight.matrix, lambda leaf: _kept(leaf, next(kept)))
        for name, matrix in sparse.items():
            matrix.data[~next(kept).numpy()] = 0.0
            weights[name].assign(matrix)

    def _chosen(self, entries: Sequence[Entries], density: float) -> list[Tensor]:
        if not entries:
            return []
        return (uniform if self.scope == "uniform" else overall)(entries, density)

    def _entries(self, values: Tensor) -> Entries:
        """Every entry of values (N, D)."""
        spared = largest_of_each_row(values).reshape(-1) if self.spare_rows else None
        return Entries(values.abs().reshape(-1), values.numel(), spared)


def _kept(leaf: Matrix, kept: Tensor) -> Matrix:
    return keep(leaf.dense(), kept.reshape(leaf.rows, leaf.columns))


def _csr(matrix: Matrix) -> sp.csr_matrix:
    if isinstance(matrix, CsrMatrix | BitmapMatrix):
        return matrix.expanded().copy()
    return sp.csr_matrix(matrix.dense().numpy())


def _present(matrix: sp.csr_matrix) -> Entries:
    rows, columns = matrix.shape
    return Entries(torch.from_numpy(abs(matrix.data)), rows * columns)
