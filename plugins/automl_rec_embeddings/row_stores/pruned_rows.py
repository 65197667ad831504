"""Rows of which only some entries will be kept; what is learned beside them says which."""

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from automl_rec.plugin import TrainableMatrix, Weight
from automl_rec_embeddings.row_stores.row_store import RowStore

if TYPE_CHECKING:
    from automl_rec_embeddings.row_stores.selection import Selection


class PrunedRows(RowStore):
    """Rows changed by what is learned beside them, until a selection of their entries is served.

    The selection may be fixed before the last training, by a mask: what is left out then reads
    exactly 0 and learns nothing, and what is served is chosen inside the mask.

    Attributes:
        learned: what only training needs; None once the store has settled.
    """

    # A host that replaces its trained rows (LightGCN) would serve others than were searched.
    exact = False
    learned: nn.Parameter | None

    def __init__(self, weight: Weight, selection: "Selection", learned: Tensor) -> None:
        """Puts the parts together.

        Args:
            weight: of the values, with the form expected of the selection.
            selection: what is kept in the end.
            learned: what only training needs, at its start.
        """
        super().__init__(weight.rows, weight.columns)
        self.weight, self.learned = weight, nn.Parameter(learned)
        self._selection = selection

    @abstractmethod
    def acting(self, values: Tensor, slots: Tensor | None) -> Tensor:
        """Values (B, D) of slots (B,), or all (N, D), as what is learned changes them."""

    @abstractmethod
    def importance(self) -> Tensor:
        """How much each entry matters: (N, D)."""

    @abstractmethod
    def open(self) -> None:
        """Begins a search: what is learned is as at the start."""

    @abstractmethod
    def close(self) -> None:
        """Begins a training within the mask."""

    def mask(self) -> None:
        """Makes room for a mask; everything is inside."""
        self._trained.mask = torch.ones_like(self._trained.weight)

    def free(self) -> None:
        """Lets the mask have everything inside, if there is one."""
        mask = self._trained.mask
        if mask is not None:
            mask.fill_(1.0)

    def fix(self) -> None:
        """Masks all but the selection."""
        mask = self._trained.mask
        assert mask is not None, "there is room for a mask from the start"
        mask.copy_(self._selection.of(self.importance()))

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`."""
        rows = self.weight.matrix.gather(slots)
        return rows if self.learned is None else self.acting(rows, slots)

    def rows(self) -> Tensor:
        """See `RowStore.rows`."""
        rows = self.weight.matrix.effective()
        return rows if self.learned is None else self.acting(rows, None)

    def score(self, x: Tensor) -> Tensor:
        """See `RowStore.score`."""
        return self.weight.matrix.multiply(x) if self.learned is None else super().score(x)

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`."""
        self.weight.initialise(std, generator)
        if mean and not self.weight.trainable.is_meta:
            with torch.no_grad():
                self.weight.trainable.add_(mean)

    def weights(self) -> tuple[Weight, ...]:
        """See `RowStore.weights`."""
        return (self.weight,)

    def settle(self) -> None:
        """See `RowStore.settle`: what is learned is folded into the entries that are kept."""
        assert self.learned is not None, "a store settles once"
        if self.learned.is_meta:
            self.weight.matrix = self._selection.blank()
        else:
            kept = self._selection.of(self.importance())
            self.weight.matrix = self._selection.stored(self.rows().detach(), kept)
        self.learned = None
        del self._selection

    @property
    def _trained(self) -> TrainableMatrix:
        assert isinstance(self.weight.matrix, TrainableMatrix), "it is still under training"
        return self.weight.matrix
