"""Stored values that follow a pattern: so many of every group of entries."""

from functools import cache
from itertools import combinations
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Form, Leaf, Pattern
from automl_rec.plugin.matrices.sparse import SparseMatrix
from automl_rec.plugin.matrices.values import numbers_of


class PatternMatrix(SparseMatrix):
    """Values group after group, and of each group the number of the places they stand at.

    The sets of N places of M are numbered in the order of `itertools.combinations`; numbers stand
    side by side, in as many bits as they need.

    Attributes:
        pattern: how many of how many.
        codes: (ceil(groups * bits / 8),) uint8.
    """

    codes: Tensor

    def __init__(
        self,
        rows: int,
        columns: int,
        pattern: Pattern,
        codes: Tensor,
        values: Tensor,
        scale: Tensor | None = None,
    ) -> None:
        super().__init__(rows, columns, pattern.entries(rows, columns), values, scale)
        self.pattern = pattern
        self.register_buffer("codes", codes)

    def coordinates(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Row and column numbers (entries,) of the values, in their order."""
        pattern, bits = self.pattern, self.pattern.bits
        lines, length = (self.columns, self.rows) if pattern.down else (self.rows, self.columns)
        number = pattern.groups(self.rows, self.columns)
        digits = np.unpackbits(self.codes.numpy(), count=number * bits).reshape(number, bits)
        codes = digits @ (1 << np.arange(bits)[::-1])
        groups = -(-length // pattern.of)
        starts = np.tile(np.arange(groups) * pattern.of, lines)
        along = starts[:, None] + _places_of(pattern.kept, pattern.of)[codes]
        line = np.repeat(np.arange(lines), groups)[:, None].repeat(along.shape[1], 1)
        real = along < length  # a narrower last group is filled up with places behind it
        found = line[real], along[real]
        return (found[1], found[0]) if pattern.down else found

    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """See `SparseMatrix.places`."""
        matrix = self.compressed_rows()
        return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)

    def compressed_rows(self) -> sp.csr_matrix:
        """See `ExpandingMatrix.compressed_rows`."""
        rows, columns = self.coordinates()
        values = numbers_of(self.values, self.entries).numpy()
        if self.scale is not None:
            values = values * self.scale.numpy()[rows]
        order = np.lexsort((columns, rows))
        indptr = np.concatenate([[0], np.bincount(rows, minlength=self.rows).cumsum()])
        shape = (self.rows, self.columns)
        return sp.csr_matrix((values[order], columns[order], indptr), shape)

    def form(self) -> Form:
        """See `Matrix.form`."""
        leaf = cast("Leaf", super().form())
        return leaf.follows(self.pattern)


def grouped(values: Tensor, pattern: Pattern, fill: float = 0.0) -> Tensor:
    """Values (rows, columns) group after group, (groups, M); what a last one lacks is filled."""
    lines = values.T if pattern.down else values
    return F.pad(lines, (0, -lines.shape[1] % pattern.of), value=fill).reshape(-1, pattern.of)


def ungrouped(groups: Tensor, pattern: Pattern, rows: int, columns: int) -> Tensor:
    """The values (rows, columns) that `grouped` gave."""
    lines, length = (columns, rows) if pattern.down else (rows, columns)
    values = groups.reshape(lines, -1)[:, :length]
    return values.T if pattern.down else values


def codes_of(kept: Tensor, pattern: Pattern) -> Tensor:
    """The packed numbers (C,) uint8 of what is kept (rows, columns) bool, which has the pattern."""
    groups = grouped(kept.int(), pattern)
    lacking = pattern.kept - groups.sum(1, keepdim=True)
    length = kept.shape[0] if pattern.down else kept.shape[1]
    if length % pattern.of:
        beyond = torch.arange(pattern.of) - length % pattern.of  # places of a last group it lacks
        groups = groups | ((beyond >= 0) & (beyond < lacking)).int()
    masks = (groups << torch.arange(pattern.of)).sum(1).numpy()
    codes = _codes_of(pattern.kept, pattern.of)[masks]
    digits = (codes[:, None] >> np.arange(pattern.bits)[::-1]) & 1
    return torch.from_numpy(np.packbits(digits.astype(np.uint8)))


@cache
def _places_of(kept: int, of: int) -> np.ndarray[Any, Any]:
    """The places (C, N) of every set."""
    return np.array(list(combinations(range(of), kept)), np.int64)


@cache
def _codes_of(kept: int, of: int) -> np.ndarray[Any, Any]:
    """The number of every set, by the sum of 2^place of its places; (2^M,) int64."""
    numbers = np.full(2**of, -1, np.int64)
    for code, places in enumerate(_places_of(kept, of)):
        numbers[(1 << places).sum()] = code
    return numbers
