"""Stored non-zero values and their places."""

from abc import abstractmethod
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin.form import Form, index_bytes, leaf_form
from automl_rec.plugin.matrices.expanding import ExpandingMatrix
from automl_rec.plugin.matrices.values import INDEX_TYPES, numbers_of, precision_of


class SparseMatrix(ExpandingMatrix):
    """Stored non-zero values, in row order; `places` says where they stand.

    Attributes:
        entries: number of values; of four bits two share a byte.
    """

    values: Tensor
    scale: Tensor | None

    def __init__(
        self, rows: int, columns: int, entries: int, values: Tensor, scale: Tensor | None
    ) -> None:
        super().__init__(rows, columns)
        self.entries = entries
        self.register_buffer("values", values)
        self.register_buffer("scale", scale)

    @abstractmethod
    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Row pointers (rows + 1,) and column numbers (entries,), columns ascending in a row."""

    def compressed_rows(self) -> sp.csr_matrix:
        """See `ExpandingMatrix.compressed_rows`."""
        indptr, columns = self.places()
        values = numbers_of(self.values, self.entries).numpy()
        if self.scale is not None:
            values = values * np.repeat(self.scale.numpy(), np.diff(indptr))
        found = sp.csr_matrix((values, columns, indptr), (self.rows, self.columns))
        # Of a damaged file: scipy's products would read and write outside of memory.
        found.check_format(full_check=True)
        return found

    def form(self) -> Form:
        """See `Matrix.form`."""
        return leaf_form(self.rows, self.columns, self.entries, precision_of(self.values))


class CsrMatrix(SparseMatrix):
    """Compressed sparse rows with the smallest index types that fit."""

    indptr: Tensor
    indices: Tensor

    def __init__(
        self,
        columns: int,
        indptr: Tensor,
        indices: Tensor,
        values: Tensor,
        scale: Tensor | None = None,
    ) -> None:
        entries = len(indices)
        super().__init__(len(indptr) - 1, columns, entries, values, scale)
        self.register_buffer("indptr", indptr.to(INDEX_TYPES[index_bytes(entries)]))
        self.register_buffer("indices", indices.to(INDEX_TYPES[index_bytes(columns - 1)]))

    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """See `SparseMatrix.places`."""
        return self.indptr.numpy().astype(np.int64), self.indices.numpy().astype(np.int32)


class BitmapMatrix(SparseMatrix):
    """Non-zero values and one bit for every place, row by row, eight to a byte."""

    bits: Tensor

    def __init__(
        self,
        rows: int,
        columns: int,
        bits: Tensor,
        values: Tensor,
        scale: Tensor | None = None,
        *,
        entries: int | None = None,
    ) -> None:
        """Takes stored values.

        Args:
            rows: of the matrix.
            columns: of the matrix.
            bits: (ceil(rows * columns / 8),) uint8.
            values: (entries,) in the order of the bits; of four bits two a byte.
            scale: (rows,) float32 steps of integers.
            entries: where values share bytes.
        """
        super().__init__(rows, columns, entries or len(values), values, scale)
        self.register_buffer("bits", bits)

    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """See `SparseMatrix.places`."""
        bits = np.unpackbits(self.bits.numpy(), count=self.rows * self.columns)
        places = sp.csr_matrix(bits.reshape(self.rows, self.columns))
        return places.indptr.astype(np.int64), places.indices.astype(np.int32)


def pack(kept: Tensor) -> Tensor:
    """Bits of a `BitmapMatrix` of what is kept (bool), row by row: (B,) uint8."""
    return torch.from_numpy(np.packbits(kept.reshape(-1).numpy()))
