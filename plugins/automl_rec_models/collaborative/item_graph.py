"""The graph of items met together, of which each item keeps its strongest neighbours."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec_models.collaborative.nearest import chunks, largest, owners_of


class Neighbours(NamedTuple):
    """The neighbours of all items, strongest first.

    Attributes:
        items: (I, K) int64; the item itself where it has fewer than K neighbours.
        weights: (I, K) float32, 0 where an item has fewer.
    """

    items: Tensor
    weights: Tensor


def strongest_neighbours(matrix: sp.csr_matrix, count: int, *, itself: bool) -> Neighbours:
    """The largest ``omega_ij = G_ij / g_i * sqrt((g_i + 1) / (g_j + 1))`` of every item i.

    G = X'X of the binary matrix X and g its row sums, diagonal included. Of equal neighbours the
    first counts.

    Args:
        matrix: X (U, I).
        count: neighbours K an item keeps.
        itself: whether an item may be its own neighbour.
    """
    sums = matrix.T @ np.diff(matrix.indptr).astype(np.float64)  # (I,)
    items = np.repeat(np.arange(matrix.shape[1])[:, None], count, 1)
    weights = np.zeros(items.shape, np.float32)
    columns = matrix.T.tocsr()
    for start, stop in chunks(columns, matrix):
        block = columns[start:stop] @ matrix  # (C, I)
        block.data = block.data / np.sqrt(sums[block.indices] + 1)
        if not itself:
            block.data[start + owners_of(block) == block.indices] = 0.0
            block.eliminate_zeros()
        kept, ranks = largest(block, count)
        owners = start + owners_of(block)[kept]
        items[owners, ranks] = block.indices[kept]
        weights[owners, ranks] = block.data[kept] * np.sqrt(sums[owners] + 1) / sums[owners]
    return Neighbours(torch.from_numpy(items), torch.from_numpy(weights))
