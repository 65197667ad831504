"""A codec that is learned with the rows: the step of every row's grid of integers."""

from typing import TYPE_CHECKING

import torch

from automl_rec_embeddings.row_stores.stepped_rows import SteppedRows

if TYPE_CHECKING:
    from torch import nn

    from automl_rec.plugin import Precision, Step, Use

PUBLISHED_START = 0.01


class LearnedSteps:
    """Makes stores of integer rows and steps them in the life cycle of any embedding.

    After each step of the optimiser the loss of the same batch is computed again to learn the steps
    of the rows that it reads; then the rows that it moved are rounded to their grids, unless they
    are to keep what is less than a step.

    Source: ALPT (Li et al., AAAI 2023). Its rate is that of Adam for steps that start at 0.01; ours
    moves a step by the same share of itself, whatever it started at. Adam takes no notice of the
    factor by which the slopes of steps are scaled there. Steps start so that the largest integer
    stands for 4 deviations of a fresh row, at any number of bits: rounding adds noise in proportion
    to them. Only rows of the batch are rounded, but the loop's optimiser moves others too: these
    stay beside the grid until a batch reads them, while whatever reads them sees them on it.
    Without write-back all rows do, as in learned step size quantisation (Esser et al., 2020).
    """

    def __init__(self, rate: float, *, write_back: bool) -> None:
        self._rate, self._write_back = rate / PUBLISHED_START, write_back
        self._stores: list[SteppedRows] = []

    def store(
        self, name: str, size: int, width: int, use: "Use", precision: "Precision"
    ) -> SteppedRows:
        """A store that this codec steps."""
        store = SteppedRows(name, size, width, use, precision)
        self._stores.append(store)
        return store

    def owned(self) -> "list[nn.Parameter]":
        """See `LifeCycle.owned`: the steps."""
        return [store.steps for store in self._stores if store.steps is not None]

    def begin(self, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        for store in self._trained():
            store.begin(generator)

    def after_step(self, step: "Step") -> None:
        """See `LifeCycle.after_step`."""
        stores = self._trained()
        if not stores:
            return
        steps = [store.steps for store in stores if store.steps is not None]
        slopes = torch.autograd.grad(step.loss(), steps, allow_unused=True)
        for store, slope in zip(stores, slopes, strict=True):
            if slope is not None:
                store.learn(slope, self._rate)
            if self._write_back:
                store.write_back()

    def _trained(self) -> list[SteppedRows]:
        return [store for store in self._stores if store.weight.trainable.requires_grad]
