"""Rows on a grid of integers, each row with a step of its own."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    LARGEST_INTEGER,
    TrainableMatrix,
    dense_form,
    from_integers,
)
from automl_rec_embeddings.row_stores.draws import Draws
from automl_rec_embeddings.row_stores.stored_rows import StoredRows

if TYPE_CHECKING:
    from automl_rec.plugin import Precision, Use

REACH = 4.0
"""Deviations of a fresh row that its largest integer stands for."""
DECAYS = (0.9, 0.999)


class SteppedRows(StoredRows):
    """Whatever reads a row reads integers times the row's step; these are what is served.

    Under training the rows are float32 numbers beside the grid, so that moves of less than a step
    are not lost; `write_back` puts those that a batch moved onto it. A step of 0 marks a row that
    was assigned: it is read as it is, and gets the step that fits it when it is next needed.

    Attributes:
        steps: (M,) parameter, until the store is settled.
    """

    steps: nn.Parameter | None
    moments: Tensor | None
    draws: Draws | None

    def __init__(
        self, name: str, size: int, width: int, use: "Use", precision: "Precision"
    ) -> None:
        super().__init__(name, size, width, use)
        self.precision, self._largest = precision, LARGEST_INTEGER[precision]
        self.weight.sensitive = True
        self.weight.expected = replace(dense_form(size, width), precision=precision)
        self.steps = nn.Parameter(torch.zeros(size))
        # Mean and square of the slopes of a step, and how often it was moved.
        self.register_buffer("moments", torch.zeros(3, size))
        self.draws = Draws()
        self._start = 0.0

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`."""
        rows = self.weight.matrix.gather(slots)
        return (
            rows if self.steps is None else self._on_grid(rows, self.steps.index_select(0, slots))
        )

    def rows(self) -> Tensor:
        """See `RowStore.rows`."""
        rows = super().rows()
        return rows if self.steps is None else self._on_grid(rows, self.steps)

    def score(self, x: Tensor) -> Tensor:
        """See `RowStore.score`."""
        return super().score(x) if self.steps is None else x @ self.rows().T

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`."""
        super().initialise(mean, std, generator)
        self._start = REACH * std / self._largest
        with torch.no_grad():
            self._learned.fill_(self._start)

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`."""
        super().assign(rows)
        with torch.no_grad():
            self._learned.zero_()

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """Draws the seed of all roundings; assigned rows get steps that leave room to grow."""
        assert self.draws is not None, "a settled store is not trained"
        self.draws.begin(generator)
        fitted = self._fitted(self.weight.matrix.dense(), self._learned)
        self._learned.copy_(
            torch.where(self._learned > 0, self._learned, fitted.clamp(min=self._start))
        )

    @torch.no_grad()
    def learn(self, slopes: Tensor, rate: float) -> None:
        """Moves the steps that have slopes (M,), by a share of themselves; the rate is Adam's."""
        assert self.moments is not None, "a settled store is not trained"
        read = slopes.nonzero()[:, 0]
        mean, square, moves = self.moments[:, read]
        slope, moves = slopes[read], moves + 1
        mean = DECAYS[0] * mean + (1 - DECAYS[0]) * slope
        square = DECAYS[1] * square + (1 - DECAYS[1]) * slope.square()
        self.moments[:, read] = torch.stack([mean, square, moves])
        size = (square / (1 - DECAYS[1] ** moves)).sqrt().clamp(min=torch.finfo(slope.dtype).tiny)
        direction = mean / (1 - DECAYS[0] ** moves) / size
        self._learned[read] *= 1 - rate * direction.clamp(-1, 1)

    @torch.no_grad()
    def write_back(self) -> None:
        """Puts the rows that have slopes onto the grid, by stochastic rounding."""
        assert self.draws is not None, "a settled store is not trained"
        slopes = self.weight.trainable.grad
        if slopes is None:
            return
        touched = slopes.ne(0).any(1).nonzero()[:, 0]
        steps = self._learned[touched, None]
        integers = (self.weight.trainable[touched] / steps).clamp(-self._largest, self._largest)
        self.weight.trainable[touched] = stochastic_round(integers, self.draws.next()) * steps

    def settle(self) -> None:
        """See `RowStore.settle`."""
        matrix, learned = self.weight.matrix, self._learned.detach()
        self.steps = self.moments = self.draws = None
        if isinstance(matrix, TrainableMatrix):  # on the meta device, before tensors come back
            return
        rows = matrix.dense()
        steps = self._fitted(rows, learned)
        integers = self._integers(rows, steps[:, None])
        self.weight.matrix = from_integers(integers, steps, self.precision)

    @property
    def _learned(self) -> nn.Parameter:
        assert self.steps is not None, "the steps of a settled store belong to its matrix"
        return self.steps

    def _on_grid(self, rows: Tensor, steps: Tensor) -> Tensor:
        """Rows (B, D) rounded to multiples of steps (B,), where these are not 0."""
        rounded: Tensor = _Rounded.apply(rows, steps[:, None], self._largest)  # type: ignore[no-untyped-call]
        return rounded if bool(steps.all()) else torch.where(steps[:, None] > 0, rounded, rows)

    def _integers(self, rows: Tensor, steps: Tensor) -> Tensor:
        exact = rows / torch.where(steps > 0, steps, 1.0)
        return exact.round().clamp(-self._largest, self._largest)

    def _fitted(self, rows: Tensor, steps: Tensor) -> Tensor:
        """The steps (M,), where they are 0 those with which the largest value just fits."""
        return torch.where(steps > 0, steps, rows.abs().amax(1) / self._largest)


class _Rounded(torch.autograd.Function):
    """Rows (B, D) rounded to multiples of steps (B, 1).

    The slope of a row is that of its rounded one. A step's is the rounding error that it scales,
    or, where a value is out of its reach, the largest integer.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, steps: Tensor, largest: int) -> Tensor:
        ctx.save_for_backward(rows, steps)
        ctx.largest = largest
        return (rows / steps).round_().clamp_(-largest, largest).mul_(steps)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> tuple[Tensor, Tensor | None, None]:
        (slope,) = slopes
        rows, steps = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return slope, None, None
        exact = rows / steps
        kept = exact.clamp(-ctx.largest, ctx.largest)
        errors = kept.round().sub_(exact.mul_(kept == exact))
        return slope, errors.mul_(slope).sum(1, keepdim=True), None


def stochastic_round(values: Tensor, generator: torch.Generator) -> Tensor:
    """One of the two integers next to each value, whose mean is the value; an integer stays."""
    # The sum of a large value and a draw would itself be rounded, up to the next integer.
    below = values.floor()
    return below + (torch.rand(values.shape, generator=generator) < values - below)
