"""What every output map does."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from automl_rec.plugin import Weight


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
