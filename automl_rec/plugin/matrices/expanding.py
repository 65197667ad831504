"""Layouts that are expanded for the kernel that computes with them."""

import warnings
from abc import abstractmethod
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.matrices.matrix import Matrix

Kernel: TypeAlias = Literal["scipy", "torch", "dense"]
"""Who multiplies a sparse matrix: scipy or torch, as compressed rows; or with its zeros."""
KERNELS: tuple[Kernel, ...] = ("scipy", "torch", "dense")


class ExpandingMatrix(Matrix):
    """A layout with few values, which the first use expands for the kernel.

    What is expanded is kept: the artefact holds the small form, the memory both.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self._kernel: Kernel = "scipy"
        self._expanded: sp.csr_matrix | None = None
        self._compressed: Tensor | None = None
        self._written: Tensor | None = None

    @abstractmethod
    def compressed_rows(self) -> sp.csr_matrix:
        """(rows, columns) float32 scipy matrix, made anew."""

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

    def expanded(self) -> sp.csr_matrix:
        """(rows, columns) float32 scipy matrix; computed once, do not change it."""
        if self._expanded is None:
            self._expanded = self.compressed_rows()
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
