"""One stored row a slot."""

import torch
from torch import Tensor

from automl_rec.plugin import Use, Weight
from automl_rec_embeddings.row_stores.row_store import RowStore


class StoredRows(RowStore):
    """One stored row a slot."""

    def __init__(self, name: str, size: int, width: int, use: Use) -> None:
        super().__init__(size, width)
        self.weight = Weight(name, size, width, "table", use)

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`."""
        return self.weight.matrix.gather(slots)

    def rows(self) -> Tensor:
        """See `RowStore.rows`."""
        return self.weight.matrix.effective()

    def score(self, x: Tensor) -> Tensor:
        """See `RowStore.score`."""
        return self.weight.matrix.multiply(x)

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`."""
        self.weight.initialise(std, generator)
        if mean and not self.weight.trainable.is_meta:
            with torch.no_grad():
                self.weight.trainable.add_(mean)

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`."""
        self.weight.assign(rows)

    def weights(self) -> tuple[Weight, ...]:
        """See `RowStore.weights`."""
        return (self.weight,)
