"""The largest of every group of entries."""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Pattern, grouped, ungrouped


def largest_of_groups(values: Tensor, pattern: Pattern) -> Tensor:
    """The largest N by size of every M values (rows, columns): bool; ties go to the first."""
    sizes = grouped(values.abs(), pattern, fill=-1.0)
    order = sizes.argsort(dim=1, descending=True, stable=True)[:, : pattern.kept]
    kept = torch.zeros(sizes.shape, dtype=torch.bool).scatter_(1, order, value=True)
    rows, columns = values.shape
    return ungrouped(kept, pattern, rows, columns)


def largest_present(
    matrix: sp.csr_matrix, pattern: Pattern
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of the stored values (E,) of a matrix are among the largest N of their M: bool."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    groups = rows * -(-matrix.shape[1] // pattern.of) + matrix.indices // pattern.of
    order = np.lexsort((matrix.indices, -abs(matrix.data), groups))
    starts = np.searchsorted(groups[order], groups[order])
    kept = np.zeros(len(order), bool)
    kept[order] = np.arange(len(order)) - starts < pattern.kept
    return kept
