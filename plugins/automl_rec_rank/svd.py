"""Truncated singular value decomposition."""

from collections.abc import Mapping
from typing import Literal

from automl_rec.plugin import (
    DenseMatrix,
    Either,
    Form,
    Interval,
    Leaf,
    LowRankMatrix,
    Product,
    Rank,
    Weight,
)
from automl_rec_rank.spectrum import Spectrum


class Svd(Rank):
    """Factors every weight after training, where the factors are smaller than the weight.

    A rank R pays for a weight (M, N) while ``R (M + N) < M N``; else the weight stays whole.

    Source: Eckart and Young, 1936. Factors are balanced, U S^1/2 and V S^1/2.
    """

    def __init__(
        self, allocation: Literal["uniform", "energy"], ratio: float = 0.25, energy: float = 0.95
    ) -> None:
        """Sets the scheme.

        Args:
            allocation: whether a weight's rank is a share of its smaller side, or the smallest
                that holds a share of its sum of squares.
            ratio: the former share.
            energy: the latter share.
        """
        self.allocation, self.ratio, self.energy = allocation, ratio, energy

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Rank.price`; an interval under the energy allocation."""
        return {name: self._priced(form) for name, form in forms.items()}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.compress`."""
        for weight in weights.values():
            if most_ranks(weight.rows, weight.columns) > 0:
                self._factor(weight)

    def _priced(self, form: Form) -> Form:
        if not isinstance(form, Leaf):
            return form
        rows, columns = int(form.rows.low), int(form.columns.low)
        most = most_ranks(rows, columns)
        rank = self._uniform_rank(rows, columns)
        if self.allocation == "uniform":
            return _product(rows, columns, Interval(rank, rank)) if rank <= most else form
        return Either(form, _product(rows, columns, Interval(1, most))) if most else form

    def _factor(self, weight: Weight) -> None:
        rank = self._uniform_rank(weight.rows, weight.columns)
        most = most_ranks(weight.rows, weight.columns)
        if self.allocation == "uniform" and rank > most:
            return
        spectrum = Spectrum.of(weight.matrix.dense())
        if self.allocation == "energy":
            rank = spectrum.rank_of(self.energy)
        if rank <= most:
            left, right = (DenseMatrix(factor) for factor in spectrum.factors(rank))
            weight.matrix = LowRankMatrix(left, right, zero_diagonal=weight.zero_diagonal)

    def _uniform_rank(self, rows: int, columns: int) -> int:
        return max(round(self.ratio * min(rows, columns)), 1)


def most_ranks(rows: int, columns: int) -> int:
    """The largest rank whose factors hold fewer numbers than the matrix; 0 where none does."""
    return (rows * columns - 1) // (rows + columns)


def _product(rows: int, columns: int, rank: Interval) -> Product:
    return Product(_factor_form(rows, rank), _factor_form(columns, rank))


def _factor_form(rows: int, rank: Interval) -> Leaf:
    return Leaf(Interval(rows, rows), rank, rank.times(rows))
