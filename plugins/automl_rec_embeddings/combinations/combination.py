"""What every combination does."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from automl_rec_embeddings.row_stores.row_store import RowStore


class Combination(ABC):
    """One row of width D from one part of each store.

    Attributes:
        needs_every_part: whether an id must read every store.
        absent: what a part that is not read counts as.
        linear: whether scoring distributes over the parts.
    """

    needs_every_part = False
    absent = 0.0
    linear = True

    def widths(self, width: int, stores: int) -> tuple[int, ...]:
        """Width of each store, where the row has ``width`` columns."""
        return (width,) * stores

    def initial(self, store: int, stores: int, std: float) -> tuple[float, float]:
        """Mean and standard deviation at which a store starts, so that rows start at ``std``."""
        return 0.0, std

    @abstractmethod
    def join(self, parts: "Sequence[Tensor]") -> Tensor:
        """The row (B, D) of parts (B, D_j)."""

    def read(self, stores: "Sequence[RowStore]", slots: "Sequence[Tensor]") -> Tensor:
        """The rows (B, D) of ids that read every store, by their slot (B,) in each."""
        return self.join([store.read(at) for store, at in zip(stores, slots, strict=True)])

    def operations(self, widths: "Sequence[int]") -> float:
        """Multiply-adds to join the parts of one row, where that is more than reading them."""
        return 0.0

    def operations_of_all(self, ids: int, widths: "Sequence[int]") -> float:
        """Multiply-adds of `every`, or to join the parts of so many ids."""
        return ids * self.operations(widths)

    def every(self, stores: "Sequence[RowStore]") -> "Iterator[Tensor] | None":
        """The rows of all ids in their order, piece by piece, if that is cheaper than joining.

        Rows beyond the last id may follow. None where stores are read in no order.
        """
        return None

    def split(self, x: Tensor, widths: "Sequence[int]") -> tuple[Tensor, ...]:
        """What each store is multiplied with when rows are scored against x (..., D)."""
        return (x,) * len(widths)

    @abstractmethod
    def fit(
        self, rows: Tensor, slots: "Sequence[Tensor]", sizes: "Sequence[int]", weights: Tensor
    ) -> list[Tensor]:
        """The stores whose combination is nearest to rows, in weighted least squares.

        Args:
            rows: (N, D) rows wanted.
            slots: one (N,) a store, `PADDING` where an id does not read it.
            sizes: number of slots M_j of each store.
            weights: (N,) positive weights of the ids.

        Returns:
            One (M_j, D_j) a store; slots that no id reads hold zeros.
        """
