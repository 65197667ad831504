"""Rows put together from the words of a codebook."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Coded, Form, Interval, Leaf, index_bytes
from automl_rec.plugin.matrices.matrix import Matrix, sum_bags
from automl_rec.plugin.matrices.values import INDEX_TYPES


class CodebookMatrix(Matrix):
    """Rows put together from words: part p of row i is that part of word ``codes[i, p]``.

    Attributes:
        codes: (rows, parts) of the smallest unsigned type.
        words: the codebook (K, columns), whose columns the parts share equally.
    """

    codes: Tensor

    def __init__(self, codes: Tensor, words: Matrix) -> None:
        super().__init__()
        self.rows, self.parts = codes.shape
        self.columns, self.words = words.columns, words
        self.register_buffer("codes", codes.to(INDEX_TYPES[index_bytes(words.rows - 1)]))

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        parts = self.words.dense().reshape(-1, self.columns // self.parts)  # (K * P, D / P)
        return F.embedding(self._places(self.codes[ids]), parts).reshape(*ids.shape, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`: of every word once, then a sum of parts a row."""
        shares = x.reshape(-1, self.parts, self.columns // self.parts)  # (B, P, D / P)
        words = self.words.dense().reshape(-1, *shares.shape[1:])  # (K, P, D / P)
        products = torch.einsum("bpd,kpd->kpb", shares, words).flatten(0, 1)  # (K * P, B)
        sums = F.embedding_bag(self._places(self.codes), products, mode="sum")  # (rows, B)
        return sums.T.reshape(*x.shape[:-1], self.rows)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return sum_bags(self.gather(ids), indptr)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.gather(torch.arange(self.rows))

    def form(self) -> Form:
        """See `Matrix.form`."""
        rows = Interval(self.rows, self.rows)
        return Coded(rows, self.parts, cast("Leaf", self.words.form()))

    def _places(self, codes: Tensor) -> Tensor:
        """Where codes (..., P) stand among the parts of all words, word after word."""
        return codes.long() * self.parts + torch.arange(self.parts)
