"""Whole inputs go, and what computes them."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from automl_rec.plugin import (
    Form,
    Infeasible,
    Leaf,
    Matrix,
    Phase,
    Sparsity,
    Step,
    TrainableMatrix,
    Weight,
    leaves,
    map_leaves,
    part,
    part_form,
)
from automl_rec_sparsity.envelope import shrinkage
from automl_rec_sparsity.kept_share import mask_of
from automl_rec_sparsity.selection import largest

FIRST_STRENGTH = 1e-4
"""Of the last, where selection begins; it grows by an equal factor in equal stretches."""


class Group(Sparsity):
    """Keeps a share of the columns of every weight, and serves nothing of the others.

    A column of a linear weight is what it reads of one input: of a hidden unit, whose own row in
    the weight before is left out with it where the model says that nobody else reads it
    (`Weight.after`). A column of a table is a dimension of its rows. After every step of a first
    phase the proximal map of the weighted group sparse envelope shrinks columns, harder and harder;
    then the largest stay, and train alone.

    Source: the weighted group sparse envelope (WGSEF), 2024; see `shrinkage`. Published, a group is
    the row of a unit with its column in the next layer; ours is the column, so that groups of
    layers that follow each other do not overlap and the proximal map stays exact. It is taken after
    the step of Adam, with the learning rate as its step and without Adam's scales. Biases stay.
    """

    def __init__(self, keep: float, strength: float, select: float = 0.7) -> None:
        """Sets the scheme.

        Args:
            keep: share of the columns of each weight; at least one stays.
            strength: weight of the envelope at the end of the selection.
            select: share of training that selects.
        """
        self.keep, self._strength = keep, strength
        self._phases = (Phase("select", select, end="last"), Phase("tune", 1.0 - select))
        self._selecting = True
        self._trained: list[tuple[TrainableMatrix, int]] = []
        self._readers: dict[str, str] = {}

    @property
    def acts_in_training(self) -> bool:
        """See `Sparsity.acts_in_training`."""
        return True

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`."""
        return self._phases

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.join`."""
        for weight in weights.values():
            if not isinstance(weight.matrix, TrainableMatrix):
                raise Infeasible(
                    f"group removes inputs of whole weights, but {weight.name} is trained as "
                    f"factors. Leave the rank full, or choose another sparsity."
                )
            weight.matrix.mask = torch.ones_like(weight.matrix.weight)
            self._trained.append((weight.matrix, weight.corner[1]))
        readers = [weight for weight in weights.values() if weight.after in weights]
        self._readers = {str(reader.after): reader.name for reader in readers}

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        self._selecting = phase.name == self._phases[0].name
        if self._selecting:
            for matrix, _ in self._trained:
                mask_of(matrix).fill_(1.0)

    def end(self, phase: Phase) -> None:
        """See `LifeCycle.end`: the largest columns stay."""
        for matrix, served in self._trained:
            columns = self._largest_columns(matrix.dense()[:, :served])
            mask_of(matrix)[:, :served] = columns.float()

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`: columns shrink."""
        if not self._selecting:
            return
        strength = step.learning_rate * self._strength * FIRST_STRENGTH ** (1.0 - step.passed)
        for matrix, served in self._trained:
            if matrix.weight.requires_grad:
                columns = matrix.weight[:, :served]
                budget, costs = float(self._count(served)), torch.ones(served)
                columns.mul_(shrinkage(columns.norm(dim=0), costs, strength, budget))

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact."""
        return {name: self._priced(name, forms) for name in forms}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        columns = {
            name: self._largest_columns(_only_leaf(weight.matrix).dense())
            for name, weight in weights.items()
        }
        for name, weight in weights.items():
            rows = columns.get(self._readers.get(name, ""))
            kept = partial(_part, rows=rows, columns=columns[name])
            weight.matrix = map_leaves(weight.matrix, kept)

    def _count(self, columns: int) -> int:
        return max(round(self.keep * columns), 1)

    def _largest_columns(self, values: Tensor) -> Tensor:
        """Which columns of values (N, D) stay: (D,) bool."""
        return largest(values.norm(dim=0), self._count(values.shape[1]))

    def _priced(self, name: str, forms: Mapping[str, Form]) -> Form:
        leaf = _only_form(forms[name])
        rows, columns = int(leaf.rows.low), int(leaf.columns.low)
        reader = self._readers.get(name)
        kept = rows if reader is None else self._count(int(_only_form(forms[reader]).columns.low))
        return part_form(rows, columns, kept, self._count(columns))


def _only_form(form: Form) -> Leaf:
    (leaf,) = form.leaves()
    return leaf


def _only_leaf(matrix: Matrix) -> Matrix:
    (leaf,) = leaves(matrix)
    return leaf


def _part(leaf: Matrix, rows: Tensor | None, columns: Tensor) -> Matrix:
    every = torch.ones(leaf.rows, dtype=torch.bool)
    return part(leaf.dense(), every if rows is None else rows, columns)
