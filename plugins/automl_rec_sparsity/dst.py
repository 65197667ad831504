"""Dynamic sparse training: a budget of entries, some of which move at times."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from automl_rec.plugin import Phase, Step, TrainableMatrix, Weight
from automl_rec_sparsity.exchange import (
    Exchange,
    exchange_of_all,
    exchange_of_each,
    moving_share,
)
from automl_rec_sparsity.kept_share import KeptShare, Scope, mask_of
from automl_rec_sparsity.selection import Entries

Grow = Literal["gradient", "accumulated", "random"]
WARM_UP = 0.1
"""Share of training that is dense where the first masks are those of the largest entries."""


class DynamicSparse(KeptShare):
    """As many entries as will be served from the first step on; at times some give way to others.

    An update drops the smallest of those inside the masks and grows as many outside of them: where
    slopes are largest (RigL), where they were on average since the last update (for tables, whose
    single batches know few ids), or anywhere (SET). What has grown starts at 0. The share that
    moves falls to 0 by a cosine. Under the global scope entries move between matrices (DSL), else
    each matrix keeps its number.

    Source: Mocanu et al., Nature Communications 2018 (SET); Evci et al., ICML 2020 (RigL); Wang et
    al., 2024 (DSL, whose code is not public: intervals and shares are ours). RigL lets what was
    just dropped compete to grow at once: ``regrow`` does so. Of a table, slopes are averaged over
    the batches that read a row. Equal slopes are grown in random order.
    """

    def __init__(
        self,
        density: float,
        scope: Scope,
        grow: Grow,
        moving: float,
        every: float,
        start: Literal["random", "magnitude"] = "random",
        end: float = 0.75,
        *,
        regrow: bool = False,
    ) -> None:
        """Sets the scheme.

        Args:
            density: share of entries, at every step.
            scope: see `KeptShare`; global lets entries move between matrices.
            grow: by what entries are chosen to grow.
            moving: share of the entries that the first update moves.
            every: epochs between updates.
            start: which entries are first inside: any, or the largest after a dense warm-up.
            end: share of training after which nothing moves.
            regrow: whether an entry may grow in the update that drops it.
        """
        super().__init__(density, scope)
        self._grow, self._moving, self._every = grow, moving, every
        self._warms_up, self._end, self._regrow = start == "magnitude", end, regrow
        self._seed = 0
        self._slopes: list[Tensor] = []

    @property
    def acts_in_training(self) -> bool:
        """See `Sparsity.acts_in_training`."""
        return True

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`: what is trained before the last is not pruned."""
        return (Phase("sparse"),)

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.join`; with what is remembered of slopes, which is kept with the masks."""
        super().join(weights)
        for matrix in self._trained:
            matrix.straight = self._grow != "random"
            if self._grow == "accumulated":
                matrix.register_buffer("slopes", torch.zeros(matrix.rows, matrix.columns))
                matrix.register_buffer("reads", torch.zeros(matrix.rows))

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`: draws the first masks, and the seed of all later draws."""
        self._seed = int(torch.randint(2**62, (), generator=generator))
        self._settled.fill_(not self._warms_up)
        for matrix in self._trained:
            mask_of(matrix).fill_(1.0)
        if self._grow == "accumulated":
            self._forget_slopes()
        if not self._warms_up:
            shapes = [(matrix.rows, matrix.columns) for matrix in self._trained]
            drawn = [torch.rand(shape, generator=generator) for shape in shapes]
            self._mask([self.entries(values) for values in drawn])

    def after_backward(self, step: Step) -> None:
        """See `LifeCycle.after_backward`: slopes are looked at, and no masked entry moves."""
        if self._grow == "random":
            return
        slopes = [_slopes_of(matrix) for matrix in self._trained]
        if self._grow == "accumulated":
            for matrix, own in zip(self._trained, slopes, strict=True):
                matrix.get_buffer("slopes").add_(own.abs())
                matrix.get_buffer("reads").add_(own.ne(0).any(1))
        elif self._updates_at(step):
            self._slopes = [own.abs() for own in slopes]
        for matrix, own in zip(self._trained, slopes, strict=True):
            own.mul_(mask_of(matrix))

    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`: entries move."""
        if not bool(self._settled):
            if step.passed >= WARM_UP:
                self._mask([self.entries(matrix.weight.detach()) for matrix in self._trained], step)
                self._settled.fill_(value=True)
        elif self._updates_at(step):
            self._move(step)
            self._slopes = []
            if self._grow == "accumulated":
                self._forget_slopes()

    def _updates_at(self, step: Step) -> bool:
        interval = max(round(self._every * step.per_epoch), 1)
        return step.number % interval == 0 and step.passed < self._end

    @torch.no_grad()
    def _mask(self, entries: Sequence[Entries], step: Step | None = None) -> None:
        """Keeps the largest of entries inside; what is outside becomes 0."""
        for matrix, kept in zip(self._trained, self.chosen(entries, self.density), strict=True):
            mask_of(matrix).copy_(kept.reshape(matrix.rows, matrix.columns))
            self._empty(matrix, mask_of(matrix) == 0, step)

    @torch.no_grad()
    def _move(self, step: Step) -> None:
        share = moving_share(self._moving, step.passed / self._end)
        generator = torch.Generator().manual_seed(self._seed + step.number)
        exchanges = [
            Exchange(matrix.weight.detach().reshape(-1), mask_of(matrix).reshape(-1) > 0, worth)
            for matrix, worth in zip(self._trained, self._worth(generator), strict=True)
        ]
        exchange = exchange_of_all if self.scope == "global" else exchange_of_each
        kept = exchange(exchanges, share, generator, regrow=self._regrow)
        for matrix, now in zip(self._trained, kept, strict=True):
            inside = now.reshape(matrix.rows, matrix.columns)
            changed = inside != (mask_of(matrix) > 0)
            mask_of(matrix).copy_(inside)
            self._empty(matrix, changed, step)

    def _empty(self, matrix: TrainableMatrix, places: Tensor, step: Step | None) -> None:
        """Takes entries back to 0, and what the optimiser remembers of them."""
        matrix.weight.masked_fill_(places, 0.0)
        if step is not None:
            step.forget(matrix.weight, places)

    def _worth(self, generator: torch.Generator) -> list[Tensor]:
        """How much each entry (N,) outside the masks deserves to grow."""
        if self._grow == "gradient":
            return [slopes.reshape(-1) for slopes in self._slopes]
        if self._grow == "random":
            sizes = [matrix.weight.numel() for matrix in self._trained]
            return [torch.rand(size, generator=generator) for size in sizes]
        means = [
            matrix.get_buffer("slopes") / matrix.get_buffer("reads").clamp(min=1.0)[:, None]
            for matrix in self._trained
        ]
        return [mean.reshape(-1) for mean in means]

    def _forget_slopes(self) -> None:
        for matrix in self._trained:
            matrix.get_buffer("slopes").zero_()
            matrix.get_buffer("reads").zero_()


def _slopes_of(matrix: TrainableMatrix) -> Tensor:
    """Slopes of all entries, those outside the mask too; 0 where the batch has none."""
    if matrix.weight.grad is None:
        matrix.weight.grad = torch.zeros_like(matrix.weight)
    return matrix.weight.grad
