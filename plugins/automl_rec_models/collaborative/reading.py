"""Items that a batch names again and again, read from their table once."""

from typing import NamedTuple

import torch
from torch import Tensor

from automl_rec.plugin import Table
from automl_rec_models.inner_products import inner_products

READ_AGAIN = 128
"""A product with a row of its own costs that many products of a dense matrix."""


class Reading(NamedTuple):
    """The rows of different items.

    Attributes:
        rows: (M, D), in the order of item numbers.
        places: (I,) int64 where each item read stands in ``rows``.
    """

    rows: Tensor
    places: Tensor

    def of(self, items: Tensor) -> Tensor:
        """Rows of items (...,): (..., D)."""
        rows = self.rows.index_select(0, self.places[items].reshape(-1))
        return rows.reshape(*items.shape, -1)

    def mean_square(self, items: Tensor) -> Tensor:
        """Mean squared length of the rows of ``items``, each as often as it is named."""
        times = torch.bincount(self.places[items].reshape(-1), minlength=len(self.rows))
        return self.rows.square().sum(1) @ (times / items.numel())


def read(table: Table, *items: Tensor) -> Reading:
    """The rows of all ``items``, each a tensor of item numbers: one read, so one gradient."""
    wanted = torch.zeros(table.num_rows, dtype=torch.bool)
    for some in items:
        wanted[some] = True
    return Reading(table.lookup(wanted.nonzero().squeeze(1)), wanted.cumsum(0) - 1)


def products(vectors: Tensor, reading: Reading, items: Tensor) -> Tensor:
    """Inner products of vectors (B, D) with their own items (B, N): (B, N)."""
    if items.shape[1] * READ_AGAIN < len(reading.rows):
        return inner_products(vectors, reading.of(items))
    return (vectors @ reading.rows.T).gather(1, reading.places[items])
