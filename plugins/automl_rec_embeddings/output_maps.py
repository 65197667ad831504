"""Output maps: from the width that is stored to the width a model expects."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from automl_rec.plugin import TrainableMatrix, Use, Weight

CHUNK_ROWS = 65536


class OutputMap(nn.Module, ABC):
    """A linear map from stored rows (B, S) to rows (B, D).

    Attributes:
        stored_width: S.
    """

    stored_width: int

    @abstractmethod
    def forward(self, stored: Tensor) -> Tensor:
        """Rows (B, D) of stored rows (B, S)."""

    @abstractmethod
    def pull_back(self, x: Tensor) -> Tensor:
        """What scores stored rows as x (..., D) scores the mapped ones: (..., S)."""

    @abstractmethod
    def fit(self, rows: Tensor) -> Tensor:
        """Chooses the map for rows (N, D); the stored rows (N, S) that come nearest to them."""

    def weights(self) -> tuple[Weight, ...]:
        """The weights of the map."""
        return ()


class SameWidth(OutputMap):
    """Rows are stored at the width a model expects."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stored_width = width

    def forward(self, stored: Tensor) -> Tensor:
        """See `OutputMap.forward`."""
        return stored

    def pull_back(self, x: Tensor) -> Tensor:
        """See `OutputMap.pull_back`."""
        return x

    def fit(self, rows: Tensor) -> Tensor:
        """See `OutputMap.fit`."""
        return rows


class Projection(OutputMap):
    """A bias-free linear map (S, D); compression leaves it alone."""

    def __init__(
        self, name: str, stored_width: int, width: int, use: Use, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.stored_width = stored_width
        self.weight = Weight(name, stored_width, width, "table", use, sensitive=True)
        # Rows then start with the standard deviation of the stored ones.
        self.weight.initialise(stored_width**-0.5, generator)

    def forward(self, stored: Tensor) -> Tensor:
        """See `OutputMap.forward`."""
        matrix = self.weight.matrix
        dense = matrix.effective() if isinstance(matrix, TrainableMatrix) else matrix.dense()
        return stored @ dense

    def pull_back(self, x: Tensor) -> Tensor:
        """See `OutputMap.pull_back`."""
        return self.weight.matrix.multiply(x)

    def fit(self, rows: Tensor) -> Tensor:
        """See `OutputMap.fit`: the truncated SVD, from the Gram matrix (D, D) in float64."""
        gram = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        for chunk in rows.split(CHUNK_ROWS):
            gram += chunk.double().T @ chunk.double()
        directions = torch.linalg.eigh(gram).eigenvectors.flip(1)
        basis = directions[:, : self.stored_width]  # (D, S)
        self.weight.assign(basis.T.to(rows.dtype))
        stored = [chunk.double() @ basis for chunk in rows.split(CHUNK_ROWS)]
        return torch.cat(stored).to(rows.dtype)

    def weights(self) -> tuple[Weight, ...]:
        """See `OutputMap.weights`."""
        return (self.weight,)
