"""What a matrix is multiplied with while a model answers."""

import torch
from torch import Tensor

from automl_rec.plugin import Matrix, WatchedMatrix
from automl_rec_sparsity.swaps import Inputs


class MultipliedMatrix(WatchedMatrix):
    """Notes the means and mean squares of what a matrix is multiplied with, in float64."""

    def __init__(self, watched: Matrix) -> None:
        super().__init__(watched)
        self._count = 0
        self._sums = torch.zeros(2, self.columns, dtype=torch.float64)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        inputs = x.reshape(-1, self.columns).double()
        self._count += len(inputs)
        self._sums += torch.stack([inputs.sum(0), inputs.square().sum(0)])
        return super().multiply(x)

    @property
    def inputs(self) -> Inputs | None:
        """What was seen; None where nothing was."""
        return Inputs(*(self._sums / self._count)) if self._count else None
