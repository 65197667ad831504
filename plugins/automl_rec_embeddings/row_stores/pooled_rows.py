"""Rows that several tables read."""

import torch
from torch import Tensor

from automl_rec.plugin import Use
from automl_rec_embeddings.row_stores.stored_rows import StoredRows


class PooledRows(StoredRows):
    """Rows (M, Z) that several tables read; the first of them registers, prices and stores them.

    Tables assign their rows one after the other. What each of them wants is remembered until the
    tables are settled, so that the values are the least-squares fit to all of them.
    """

    exact = False

    def __init__(self, name: str, size: int, width: int, use: Use, *, sensitive: bool) -> None:
        super().__init__(name, size, width, use)
        self.weight.sensitive = sensitive
        self._wanted: dict[str, tuple[Tensor, Tensor]] = {}

    def fit(self, reader: str, products: Tensor, weights: Tensor) -> None:
        """Replaces what a table wants of the values.

        A value becomes the weighted mean of what is wanted of it; where nobody wants anything, it
        stays.

        Args:
            reader: name of the table.
            products: (M, Z) or (M Z,) sums of weight times wanted value.
            weights: as large, sums of weights.
        """
        self._wanted[reader] = products, weights
        total = sum(part for _, part in self._wanted.values())
        wanted = sum(part for part, _ in self._wanted.values())
        assert isinstance(total, Tensor)
        assert isinstance(wanted, Tensor)
        before = self.weight.matrix.dense()
        total, wanted = total.reshape(before.shape), wanted.reshape(before.shape)
        means = wanted / torch.where(total > 0, total, 1.0)
        self.weight.assign(torch.where(total > 0, means, before))

    def settle(self) -> None:
        """See `RowStore.settle`."""
        self._wanted.clear()
