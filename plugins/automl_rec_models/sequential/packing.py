"""Histories of different lengths, without their padding."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Packing:
    """The items of histories in the order in which recurrent kernels read them.

    First comes the first item of every history, the longest history first; then every second item,
    and so on.

    Attributes:
        items: (E,) int64.
        sizes: (S,) int64, how many histories have a first item, a second one, ...
        places: (B, L) int64, for each position of the histories 1 + its place in ``items``, or 0
            where it holds padding.
    """

    items: Tensor
    sizes: Tensor
    places: Tensor

    @classmethod
    def of(cls, histories: Tensor) -> "Packing":
        """The packing of histories (B, L), padded on the left."""
        length = histories.shape[1]
        lengths = (histories >= 0).sum(1)
        order = lengths.argsort(descending=True, stable=True)
        steps = torch.arange(int(lengths.max()))[:, None]
        columns = steps + (length - lengths[order])  # (S, B)
        present = columns < length
        rows, columns = order.expand_as(columns)[present], columns[present]
        places = torch.zeros_like(histories)
        places[rows, columns] = torch.arange(1, len(rows) + 1)
        return cls(histories[rows, columns], present.sum(1), places)
