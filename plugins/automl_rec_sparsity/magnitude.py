"""The largest entries stay."""

from typing import Literal

import torch

from automl_rec.plugin import Phase, Step
from automl_rec_sparsity.kept_share import KeptShare, Scope, mask_of
from automl_rec_sparsity.schedule import CubicSchedule


class Magnitude(KeptShare):
    """Keeps the entries of largest absolute value, once after training or more and more during it.

    While a model trains, masked entries keep their value and may return until the schedule ends;
    afterwards masks are fixed. Where time will end a training before its steps do, the schedule
    goes by time. What is served is always pruned to the full, also where training ended early.

    Source: Zhu and Gupta, 2017 (gradual, equation 1); Evci et al., ICML 2020, section 3 (densities
    by shape); one-shot and the global scope are folklore.
    """

    def __init__(
        self,
        density: float,
        mode: Literal["one-shot", "gradual"],
        scope: Scope,
        start: float = 0.15,
        end: float = 0.75,
        every: int = 10,
        *,
        spare_rows: bool = False,
        block: int = 1,
    ) -> None:
        """Sets the scheme.

        Args:
            density: share of entries that stays.
            mode: when entries go.
            scope: see `KeptShare`.
            start: share of training after which gradual pruning begins.
            end: share of training at which it ends.
            every: optimiser steps between updates of the masks.
            spare_rows: see `KeptShare`.
            block: see `KeptShare`.
        """
        super().__init__(density, scope, spare_rows=spare_rows, block=block)
        self._gradual = mode == "gradual"
        self._start, self._end, self._every = start, end, every

    @property
    def acts_in_training(self) -> bool:
        """See `Sparsity.acts_in_training`."""
        return self._gradual

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`: what is trained before the last is not pruned."""
        return (Phase("prune"),) if self._gradual else ()

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`: everything is inside the masks."""
        self._settled.fill_(value=False)
        for matrix in self._trained:
            mask_of(matrix).fill_(1.0)

    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`."""
        ends = step.passed >= self._end
        due = self._start < step.passed and step.number % self._every == 0
        if bool(self._settled) or not (due or ends):
            return
        density = CubicSchedule(self.density, self._start, self._end).density_at(step.passed)
        kept = self.chosen([self.entries(m.weight.detach()) for m in self._trained], density)
        for matrix, own in zip(self._trained, kept, strict=True):
            mask_of(matrix).copy_(self.mask(own, matrix.rows, matrix.columns))
        self._settled.fill_(ends)
