"""Row stores: the rows that slots name."""

import torch
from torch import Tensor, nn

from automl_rec.plugin import TrainableMatrix, Use, Weight


class StoredRows(nn.Module):
    """One stored row a slot.

    Attributes:
        size: number of slots M.
        width: columns D.
    """

    def __init__(self, name: str, size: int, width: int, use: Use) -> None:
        super().__init__()
        self.size, self.width = size, width
        self.weight = Weight(name, size, width, "table", use)

    def read(self, slots: Tensor) -> Tensor:
        """Rows of slots (B,) int64: (B, D) float32."""
        return self.weight.matrix.gather(slots)

    def rows(self) -> Tensor:
        """All rows: (M, D) float32, differentiable."""
        matrix = self.weight.matrix
        return matrix.effective() if isinstance(matrix, TrainableMatrix) else matrix.dense()

    def score(self, x: Tensor) -> Tensor:
        """``x @ rows.T`` for x (..., D): (..., M) float32."""
        return self.weight.matrix.multiply(x)

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """Draws the values from N(mean, std^2)."""
        self.weight.initialise(std, generator)
        if mean and not self.weight.trainable.is_meta:
            with torch.no_grad():
                self.weight.trainable.add_(mean)

    def assign(self, rows: Tensor) -> None:
        """Stores rows (M, D)."""
        self.weight.assign(rows)

    def weights(self) -> tuple[Weight, ...]:
        """The weights of the store."""
        return (self.weight,)
