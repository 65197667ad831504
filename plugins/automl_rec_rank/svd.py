"""Truncated singular value decomposition."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

from torch import Tensor

from automl_rec.plugin import (
    DenseMatrix,
    Either,
    Form,
    Infeasible,
    Interval,
    Leaf,
    LowRankMatrix,
    Matrix,
    Product,
    Rank,
    Weight,
    map_leaves,
)
from automl_rec_rank.spectrum import Spectrum, leading_factors

LARGE = 1024
SMALL_SHARE = 8
"""Ranks below 1/8 of a larger narrow side are found by projection: within 1 % of the best."""

LARGEST_SPECTRUM = 4096
"""Narrow side whose whole spectrum still takes seconds, not minutes."""


class Svd(Rank):
    """Factors every weight after training, where the factors are smaller than the weight.

    A rank R pays for a weight (M, N) while ``R (M + N) < M N``; else the weight stays whole.

    Source: Eckart and Young, 1936. Factors are balanced, U S^1/2 and V S^1/2. Low ranks of large
    weights are found by random projection, see `leading_factors`.
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
        """See `Rank.price`; an interval under the energy allocation.

        Raises:
            Infeasible: the energies of a weight would take minutes.
        """
        return {name: self._priced(form) for name, form in forms.items()}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.compress`."""
        for weight in weights.values():
            factored = partial(self._factored, zero_diagonal=weight.zero_diagonal)
            weight.matrix = map_leaves(weight.matrix, factored)

    def _priced(self, form: Form) -> Form:
        if not isinstance(form, Leaf):
            return form
        rows, columns = int(form.rows.low), int(form.columns.low)
        self._refuse_large(rows, columns)
        most = most_ranks(rows, columns)
        rank = self._uniform_rank(rows, columns)
        if self.allocation == "uniform":
            return _product(rows, columns, Interval(rank, rank)) if rank <= most else form
        return Either(form, _product(rows, columns, Interval(1, most))) if most else form

    def _factored(self, matrix: Matrix, *, zero_diagonal: bool) -> Matrix:
        """The factors of a dense matrix, or itself where they would not be smaller."""
        factors = self._factors(matrix)
        if factors is None:
            return matrix
        left, right = (DenseMatrix(factor.contiguous()) for factor in factors)
        return LowRankMatrix(left, right, zero_diagonal=zero_diagonal)

    def _factors(self, matrix: Matrix) -> tuple[Tensor, Tensor] | None:
        rank = self._uniform_rank(matrix.rows, matrix.columns)
        most = most_ranks(matrix.rows, matrix.columns)
        if most == 0 or (self.allocation == "uniform" and rank > most):
            return None
        narrow = min(matrix.rows, matrix.columns)
        if self.allocation == "uniform" and narrow > LARGE and rank * SMALL_SHARE < narrow:
            return leading_factors(matrix.dense(), rank)
        spectrum = Spectrum.of(matrix.dense())
        if self.allocation == "energy":
            rank = spectrum.rank_of(self.energy)
        return spectrum.factors(rank) if rank <= most else None

    def _refuse_large(self, rows: int, columns: int) -> None:
        if self.allocation == "energy" and min(rows, columns) > LARGEST_SPECTRUM:
            raise Infeasible(
                f"svd by energy needs the whole spectrum of a weight of {rows:,} x {columns:,}, "
                f"which is done up to a narrow side of {LARGEST_SPECTRUM:,}. "
                f"Use allocation: uniform."
            )

    def _uniform_rank(self, rows: int, columns: int) -> int:
        return max(round(self.ratio * min(rows, columns)), 1)


def most_ranks(rows: int, columns: int) -> int:
    """The largest rank whose factors hold fewer numbers than the matrix; 0 where none does."""
    return (rows * columns - 1) // (rows + columns)


def _product(rows: int, columns: int, rank: Interval) -> Product:
    return Product(_factor_form(rows, rank), _factor_form(columns, rank))


def _factor_form(rows: int, rank: Interval) -> Leaf:
    return Leaf(Interval(rows, rows), rank, rank.times(rows))
