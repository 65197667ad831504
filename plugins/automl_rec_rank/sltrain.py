"""Factors with sparse entries beside them, in place of linears, from the first step on."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    DenseMatrix,
    Form,
    Interval,
    LowRankMatrix,
    Matrix,
    Product,
    Sum,
    SumMatrix,
    Weight,
    dense_form,
    keep,
)
from automl_rec_rank.allocation import Size
from automl_rec_rank.factors import ReadWhole, TrainedRank


class SlTrain(TrainedRank):
    """Trains linears as W = s B A + S: factors of a fixed rank, and entries at fixed random places.

    The factors hold what all inputs share, the entries what they do not; together they can have any
    rank. Places are drawn once, uniformly; entries and A begin uniform in +- 1 / root N, B as 0.
    What is served is a product and a sparse matrix in its cheapest layout. A weight that they would
    not make smaller stays whole, and so do tables, since every read makes the whole matrix.

    Source: Han et al., NeurIPS 2024, arXiv 2406.02214. The places follow from the weight's start,
    which the seed draws; no 8-bit moments, no updates layer by layer.
    """

    linears_alone = True
    prunes: ClassVar[bool] = True

    def __init__(self, ratio: float, density: float, scale: float = 0.25) -> None:
        """Sets the scheme.

        Args:
            ratio: share of the narrow side that is the rank.
            density: share of the places that have an entry.
            scale: s of the product; published, 32 over a rank of 128.
        """
        super().__init__()
        self._ratio, self._density, self._scale = ratio, density, scale

    def served(self, size: Size) -> Form | None:
        """See `TrainedRank.served`; exact."""
        rank, whole = self._rank(size), dense_form(size.rows, size.columns)
        entries = self._entries(size)
        factors = Product(dense_form(size.rows, rank), dense_form(size.columns, rank))
        found = Sum(factors, whole.kept(Interval(entries, entries)))
        return found if found.bytes.high < whole.bytes.high else None

    def factors(self, weight: Weight, size: Size) -> Matrix:
        """See `TrainedRank.factors`."""
        made = FactorsAndEntries(
            weight.rows, weight.columns, self._rank(size), self._entries(size), self._scale
        )
        if not weight.trainable.is_meta:
            with torch.no_grad():
                made.start(weight.trainable)
        return made

    def _rank(self, size: Size) -> int:
        return max(round(self._ratio * size.narrow), 1)

    def _entries(self, size: Size) -> int:
        return int(self._density * size.rows * size.columns)


class FactorsAndEntries(ReadWhole):
    """s B A + S under training.

    Attributes:
        left: B, (rows, R) parameter.
        right: A', (columns, R) parameter.
        values: (E,) parameter, the entries of S.
        places: (E,) int64 row * columns + column of each, ascending.
    """

    places: Tensor

    def __init__(self, rows: int, columns: int, rank: int, entries: int, scale: float) -> None:
        super().__init__(rows, columns)
        self.left = nn.Parameter(torch.empty(rows, rank))
        self.right = nn.Parameter(torch.empty(columns, rank))
        self.values = nn.Parameter(torch.empty(entries))
        self.register_buffer("places", torch.zeros(entries, dtype=torch.int64))
        self._scale = scale

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        product = (self._scale * self.left) @ self.right.T
        return product.reshape(-1).index_add(0, self.places, self.values).reshape(product.shape)

    def form(self) -> Form:
        """See `Matrix.form`."""
        whole, entries = dense_form(self.rows, self.columns), len(self.values)
        factors = Product(dense_form(*self.left.shape), dense_form(*self.right.shape))
        return Sum(factors, whole.kept(Interval(entries, entries)))

    def start(self, weight: Tensor) -> None:
        """Draws everything anew, by a generator that the values of a weight decide."""
        generator = torch.Generator().manual_seed(
            int(weight.view(torch.int32).long().sum() % 2**31)
        )
        order = torch.randperm(weight.numel(), generator=generator)
        self.places.copy_(order[: len(self.places)].sort().values)
        bound = self.columns**-0.5
        self.left.zero_()
        self.right.uniform_(-bound, bound, generator=generator)
        self.values.uniform_(-bound, bound, generator=generator)

    def stored(self) -> Matrix:
        """See `Matrix.stored`."""
        left, right = (self._scale * self.left).detach(), self.right.detach().clone()
        entries = torch.zeros(self.rows * self.columns)
        kept = torch.zeros(self.rows * self.columns, dtype=torch.bool)
        entries[self.places], kept[self.places] = self.values.detach(), True
        shape = self.rows, self.columns
        sparse = keep(entries.reshape(shape), kept.reshape(shape))
        return SumMatrix(LowRankMatrix(DenseMatrix(left), DenseMatrix(right)), sparse)
