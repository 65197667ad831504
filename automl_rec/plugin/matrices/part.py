"""Matrices of which only some rows and columns are not 0."""

from typing import cast

import torch
from torch import Tensor

from automl_rec.plugin.form import Form, Interval, Leaf, Part, index_bytes
from automl_rec.plugin.matrices.dense import DenseMatrix
from automl_rec.plugin.matrices.matrix import Matrix, sum_bags
from automl_rec.plugin.matrices.values import INDEX_TYPES


class PartMatrix(Matrix):
    """Some rows and columns of a matrix; the others are 0 and are neither stored nor computed.

    Attributes:
        kept: (R, C) what is stored.
        kept_rows: (R,) the rows it stands in, ascending, of the smallest unsigned type; None if
            all.
        kept_columns: (C,) the columns, likewise.
    """

    kept_rows: Tensor | None
    kept_columns: Tensor | None

    def __init__(
        self,
        rows: int,
        columns: int,
        kept: Matrix,
        kept_rows: Tensor | None,
        kept_columns: Tensor | None,
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.kept = rows, columns, kept
        self.register_buffer("kept_rows", _numbers(kept_rows, rows))
        self.register_buffer("kept_columns", _numbers(kept_columns, columns))
        self._places: tuple[Tensor | None, Tensor | None] | None = None

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        rows, columns = self._numbered()
        if rows is None:
            return _spread(self.kept.gather(ids), columns, self.columns)
        places = torch.full((self.rows,), -1).index_put_((rows,), torch.arange(len(rows)))[ids]
        found = self.kept.gather(places.clamp(min=0)) * (places >= 0)[..., None]
        return _spread(found, columns, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        rows, columns = self._numbered()
        inputs = x if columns is None else x.index_select(-1, columns)
        return _spread(self.kept.multiply(inputs), rows, self.rows)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return sum_bags(self.gather(ids), indptr)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        rows, columns = self._numbered()
        wide = _spread(self.kept.dense(), columns, self.columns)
        return _spread(wide.T, rows, self.rows).T

    def form(self) -> Form:
        """See `Matrix.form`."""
        leaf = cast("Leaf", self.kept.form())
        return Part(Interval(self.rows, self.rows), self.columns, leaf)

    def _numbered(self) -> tuple[Tensor | None, Tensor | None]:
        """Rows and columns as int64; kept."""
        if self._places is None:
            rows, columns = self.kept_rows, self.kept_columns
            self._places = (
                None if rows is None else rows.long(),
                None if columns is None else columns.long(),
            )
        return self._places


def part(weight: Tensor, kept_rows: Tensor, kept_columns: Tensor) -> Matrix:
    """Weight (rows, columns) with those rows and columns alone that are kept, both bool."""
    rows, columns = weight.shape
    kept = DenseMatrix(weight[kept_rows][:, kept_columns].contiguous())
    if (kept.rows, kept.columns) == (rows, columns):
        return kept
    return PartMatrix(rows, columns, kept, _of(kept_rows), _of(kept_columns))


def _of(kept: Tensor) -> Tensor | None:
    """The numbers of what is kept (bool), None of everything."""
    return None if bool(kept.all()) else kept.nonzero()[:, 0]


def _numbers(numbers: Tensor | None, size: int) -> Tensor | None:
    return None if numbers is None else numbers.to(INDEX_TYPES[index_bytes(size - 1)])


def _spread(values: Tensor, places: Tensor | None, size: int) -> Tensor:
    """Values (..., n) at their places among so many zeros: (..., size)."""
    if places is None:
        return values
    return values.new_zeros(*values.shape[:-1], size).index_copy_(-1, places, values)
