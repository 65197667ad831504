"""What every row store does."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from automl_rec.plugin import Weight


class RowStore(nn.Module, ABC):
    """Rows for slots.

    Attributes:
        size: number of slots M.
        width: columns D.
        exact: whether `assign` can store any rows exactly.
        computed: whether a row is computed at length, so that reading one twice is to be avoided.
    """

    exact: bool = True
    computed: bool = False

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size, self.width = size, width

    @abstractmethod
    def read(self, slots: Tensor) -> Tensor:
        """Rows of slots (B,) int64: (B, D) float32."""

    @abstractmethod
    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """Draws the values so that rows have this mean and standard deviation."""

    @abstractmethod
    def assign(self, rows: Tensor) -> None:
        """Stores the nearest to rows (M, D) that it can hold."""

    @abstractmethod
    def weights(self) -> "tuple[Weight, ...]":
        """Every weight of the store."""

    def rows(self) -> Tensor:
        """All rows: (M, D) float32, differentiable."""
        return self.read(torch.arange(self.size))

    def score(self, x: Tensor) -> Tensor:
        """``x @ rows.T`` for x (..., D): (..., M) float32."""
        return x @ self.rows().T

    def settle(self) -> None:
        """See `automl_rec.plugin.Table.settle`."""

    def operations(self) -> float:
        """Multiply-adds to read one row, beside those of its weights."""
        return 0.0
