"""Stored non-zero values and their places."""

import warnings
from abc import abstractmethod
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Form, index_bytes, leaf_form
from automl_rec.plugin.matrices.matrix import Matrix
from automl_rec.plugin.matrices.values import INDEX_TYPES, numbers_of, precision_of

Kernel: TypeAlias = Literal["scipy", "torch", "dense"]
"""Who multiplies a sparse matrix: scipy or torch, as compressed rows; or with its zeros."""
KERNELS: tuple[Kernel, ...] = ("scipy", "torch", "dense")


class SparseMatrix(Matrix):
    """Stored non-zero values, in row order; `places` says where they stand.

    The first use expands them for the kernel, which is kept: the artefact holds the small form,
    the memory both.

    Attributes:
        entries: number of values; of four bits two share a byte.
    """

    values: Tensor
    scale: Tensor | None

    def __init__(
        self, rows: int, columns: int, entries: int, values: Tensor, scale: Tensor | None
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.entries = rows, columns, entries
        self.register_buffer("values", values)
        self.register_buffer("scale", scale)
        self._kernel: Kernel = "scipy"
        self._expanded: sp.csr_matrix | None = None
        self._compressed: Tensor | None = None
        self._written: Tensor | None = None

    @property
    def kernel(self) -> Kernel:
        """How it is multiplied and read."""
        return self._kernel

    @kernel.setter
    def kernel(self, kernel: Kernel) -> None:
        if kernel not in KERNELS:
            raise ValueError(f"a kernel must be one of {', '.join(KERNELS)}, got {kernel!r}")
        self._kernel = kernel
        self._expanded = self._compressed = self._written = None

    @abstractmethod
    def places(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Row pointers (rows + 1,) and column numbers (entries,), columns ascending in a row."""

    def expanded(self) -> sp.csr_matrix:
        """(rows, columns) float32 scipy matrix; computed once, do not change it."""
        if self._expanded is None:
            indptr, columns = self.places()
            values = numbers_of(self.values, self.entries).numpy()
            if self.scale is not None:
                values = values * np.repeat(self.scale.numpy(), np.diff(indptr))
            shape = (self.rows, self.columns)
            self._expanded = sp.csr_matrix((values, columns, indptr), shape)
        return self._expanded

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        if self._kernel == "dense":
            return F.embedding(ids, self._dense())
        rows = self.expanded()[ids.reshape(-1).numpy()].toarray()
        return torch.from_numpy(rows).reshape(*ids.shape, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        if self._kernel == "dense":
            return F.linear(x, self._dense())
        inputs = x.reshape(-1, self.columns).T
        if self._kernel == "torch":
            product = torch.mm(self._rows(), inputs)
        else:
            product = torch.from_numpy(self.expanded() @ inputs.numpy())
        return product.T.reshape(*x.shape[:-1], self.rows)

    def project(self, x: Tensor) -> Tensor:
        """See `Matrix.project`."""
        if self._kernel == "dense":
            return x @ self._dense()
        product = self.expanded().T @ x.reshape(-1, self.rows).T.numpy()
        return torch.from_numpy(product).T.reshape(*x.shape[:-1], self.columns)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        if self._kernel == "dense":
            return F.embedding_bag(ids, self._dense(), indptr[:-1], mode="sum")
        ones = np.ones(len(ids), np.float32)
        bags = sp.csr_matrix((ones, ids.numpy(), indptr.numpy()), (len(indptr) - 1, self.rows))
        return torch.from_numpy((bags @ self.expanded()).toarray())

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        if self._kernel == "dense":
            return self._dense()
        return torch.from_numpy(self.expanded().toarray())

    def form(self) -> Form:
        """See `Matrix.form`."""
        return leaf_form(self.rows, self.columns, self.entries, precision_of(self.values))

    def _rows(self) -> Tensor:
        """What torch multiplies, with the memory of `expanded`."""
        if self._compressed is None:
            matrix = self.expanded()
            places = [p.astype(np.int32, copy=False) for p in (matrix.indptr, matrix.indices)]
            starts, columns, values = map(torch.from_numpy, (*places, matrix.data))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
                self._compressed = torch.sparse_csr_tensor(
                    starts, columns, values, matrix.shape, check_invariants=True
                )
        return self._compressed

    def _dense(self) -> Tensor:
        """What the dense kernel reads: (rows, columns); computed once, do not change it."""
        if self._written is None:
            self._written = torch.from_numpy(self.expanded().toarray())
            self._expanded = None
        return self._written


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
