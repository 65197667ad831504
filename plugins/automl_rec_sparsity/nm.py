"""So many of every group of entries."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch

from automl_rec.plugin import (
    Either,
    Form,
    Interval,
    Leaf,
    LowRankMatrix,
    Matrix,
    Pattern,
    Phase,
    Product,
    Sparsity,
    Step,
    TrainableMatrix,
    Weight,
    keep,
    leaves,
    map_leaves,
)
from automl_rec_sparsity.decay import Decay, kept_at, weight_at
from automl_rec_sparsity.groups import largest_of_groups, largest_present
from automl_rec_sparsity.kept_share import flag_on, mask_of, stored_entries
from automl_rec_sparsity.schedule import progress


class GroupPattern(Sparsity):
    """Keeps the largest N of every M entries that stand side by side along the inputs of a weight.

    Groups of factors run along inputs or outputs too, never along the rank; a last group that is
    narrower keeps N or all it has. Ties go to the first. Once after training, or with the others
    weighed down by and by while the model trains: from a share of training on by a decay, after
    which the mask is fixed. Of a weight that its model stores sparse those present compete.

    A pattern saves bytes; time only where few of many entries of a large layer stay, 1 of 16, say.

    Source: Zhou et al., ICLR 2021 (SR-STE: straight slopes, and the pull on what is outside); Kao
    et al., 2022 (decays). By default the slope of an entry is weighed as the entry is, as the paper
    says; ``straight`` lets it pass whole, as its code does.
    """

    def __init__(
        self,
        pattern: str,
        mode: Literal["one-shot", "decay"],
        decay: Decay = "linear",
        slopes: Literal["product", "straight"] = "product",
        pull: float = 2e-4,
        start: float = 0.15,
        end: float = 0.75,
        every: int = 10,
    ) -> None:
        """Sets the scheme.

        Args:
            pattern: ``"N:M"``.
            mode: whether others go at once after training, or are weighed down during it.
            decay: how they are.
            slopes: whether those of others are weighed down as well.
            pull: of others towards 0, where their slopes are not weighed down.
            start: share of training after which the decay begins.
            end: share of training at which it ends.
            every: optimiser steps between updates of the masks.
        """
        kept, of = map(int, pattern.split(":"))
        self.pattern = Pattern(kept, of)
        self._decays, self._decay = mode == "decay", decay
        self._straight, self._pull = slopes == "straight", pull
        self._start, self._end, self._every = start, end, every
        self._trained: list[tuple[TrainableMatrix, Pattern]] = []
        self._settled = torch.zeros((), dtype=torch.bool)

    @property
    def acts_in_training(self) -> bool:
        """See `Sparsity.acts_in_training`."""
        return self._decays

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`: what is trained before the last is not pruned."""
        return (Phase("decay"),) if self._decays else ()

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.join`."""
        self._trained = [
            (leaf, self._pattern_of(weight.matrix))
            for weight in weights.values()
            for leaf in leaves(weight.matrix)
            if isinstance(leaf, TrainableMatrix)
        ]
        for matrix, _ in self._trained:
            matrix.mask = torch.ones_like(matrix.weight)
            matrix.straight = self._straight
        self._settled = flag_on([matrix for matrix, _ in self._trained])

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`: everything counts in full."""
        self._settled.fill_(value=False)
        for matrix, _ in self._trained:
            mask_of(matrix).fill_(1.0)

    def after_backward(self, step: Step) -> None:
        """See `LifeCycle.after_backward`: others are drawn towards 0 if they still learn."""
        if not self._straight:
            return
        for matrix, _ in self._trained:
            if matrix.weight.grad is not None:
                outside = (1.0 - mask_of(matrix)) * matrix.weight.detach()
                matrix.weight.grad.add_(outside, alpha=self._pull)

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`."""
        done = progress(step.passed, self._start, self._end)
        fixed = bool(self._settled) and not self._straight
        due = done > 0.0 and step.number % self._every == 0
        if fixed or not (due or (done >= 1.0 and not self._settled)):
            return
        self._settled.fill_(done >= 1.0)
        outside = weight_at(self._decay, done)
        for matrix, pattern in self._trained:
            kept = kept_at(self._decay, done, pattern.kept, pattern.of)
            inside = largest_of_groups(matrix.weight, pattern._replace(kept=kept))
            mask_of(matrix).copy_(torch.where(inside, 1.0, outside))

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact for weights that are not stored sparse."""
        return {name: self._priced(form) for name, form in forms.items()}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        for weight in weights.values():
            if weight.limit is not None:
                matrix = stored_entries(weight.matrix)
                matrix.data[~largest_present(matrix, self.pattern)] = 0.0
                weight.assign(matrix)
                continue
            pattern = self._pattern_of(weight.matrix)
            weight.matrix = map_leaves(weight.matrix, partial(_kept, pattern=pattern))

    def _pattern_of(self, matrix: Matrix) -> Pattern:
        factored = any(isinstance(part, LowRankMatrix) for part in matrix.modules())
        return self._factor_pattern if factored else self.pattern

    @property
    def _factor_pattern(self) -> Pattern:
        """Rows of a factor are inputs or outputs, its columns ranks."""
        return self.pattern._replace(down=True)

    def _priced(self, form: Form) -> Form:
        if isinstance(form, Either):
            return Either(self._priced(form.first), self._priced(form.second))
        if isinstance(form, Product):
            return form.map_leaves(lambda leaf: leaf.follows(self._factor_pattern))
        return form.map_leaves(self._priced_leaf)

    def _priced_leaf(self, leaf: Leaf) -> Leaf:
        followed = leaf.follows(self.pattern)
        if leaf.entries.low == leaf.rows.low * leaf.columns.low:
            return followed
        most = min(leaf.entries.high, followed.entries.high)
        return leaf.kept(Interval(min(leaf.entries.low, self.pattern.kept), most))


def _kept(leaf: Matrix, pattern: Pattern) -> Matrix:
    values = leaf.dense()
    return keep(values, largest_of_groups(values, pattern), pattern)
