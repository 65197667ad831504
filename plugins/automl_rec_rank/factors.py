"""Factors under training."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import (
    DenseMatrix,
    Form,
    Infeasible,
    Interval,
    LowRankMatrix,
    Matrix,
    Product,
    Rank,
    TrainableMatrix,
    Weight,
    dense_form,
)
from automl_rec_rank.allocation import Size, priced


class Factors(Matrix):
    """A product ``left @ right.T`` under training, of left (rows, R) and right (columns, R)."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    @abstractmethod
    def acting(self) -> tuple[Tensor, Tensor]:
        """Left and right as they act now; differentiable."""

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        left, right = self.acting()
        rows = left.index_select(0, ids.reshape(-1)) @ right.T
        return rows.reshape(*ids.shape, self.columns)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        left, right = self.acting()
        return F.linear(x @ right, left)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        left, right = self.acting()
        return F.embedding_bag(ids, left, indptr[:-1], mode="sum") @ right.T

    def project(self, x: Tensor) -> Tensor:
        """See `Matrix.project`."""
        left, right = self.acting()
        return F.linear(x @ left, right)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.effective().detach()

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        left, right = self.acting()
        return left @ right.T

    def form(self) -> Form:
        """See `Matrix.form`."""
        left, right = self.acting()
        return Product(dense_form(*left.shape), dense_form(*right.shape))

    def stored(self) -> Matrix:
        """See `Matrix.stored`; multiplied out where factors would be no smaller."""
        left, right = self.acting()
        if left.shape[1] > Size(self.rows, self.columns).most:
            return DenseMatrix(self.dense())
        return LowRankMatrix(
            *(DenseMatrix(factor.detach().contiguous().clone()) for factor in (left, right))
        )


class NarrowFactors(Factors):
    """Two factors that are parameters.

    Attributes:
        left: (rows, R).
        right: (columns, R).
    """

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__(rows, columns)
        self.left = nn.Parameter(torch.zeros(rows, rank))
        self.right = nn.Parameter(torch.zeros(columns, rank))

    def acting(self) -> tuple[Tensor, Tensor]:
        """See `Factors.acting`."""
        return self.left, self.right


class LateFactors(Matrix):
    """A matrix under training, and the factors that take its place one day.

    Attributes:
        whole: what acts at first.
        factors: what acts then.
        factored: () bool, which of them acts.
    """

    factored: Tensor

    def __init__(self, whole: TrainableMatrix, rank: int) -> None:
        super().__init__()
        self.rows, self.columns, self.whole = whole.rows, whole.columns, whole
        self.factors = NarrowFactors(whole.rows, whole.columns, rank)
        self.register_buffer("factored", torch.tensor(False))

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        return self._now.gather(ids)

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return self._now.multiply(x)

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return self._now.bag(indptr, ids)

    def project(self, x: Tensor) -> Tensor:
        """See `Matrix.project`."""
        return self._now.project(x)

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self._now.dense()

    def effective(self) -> Tensor:
        """See `Matrix.effective`."""
        return self._now.effective()

    def form(self) -> Form:
        """See `Matrix.form`."""
        return self._now.form()

    def assign(self, values: Tensor) -> None:
        """See `Matrix.assign`; of the whole matrix."""
        self.whole.assign(values)

    def stored(self) -> Matrix:
        """See `Matrix.stored`."""
        return self._now.stored()

    @property
    def _now(self) -> Matrix:
        return self.factors if bool(self.factored) else self.whole


class ReadWhole(Matrix):
    """A matrix under training that is made as a whole wherever it is read."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def gather(self, ids: Tensor) -> Tensor:
        """See `Matrix.gather`."""
        return self.effective()[ids]

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        return F.linear(x, self.effective())

    def bag(self, indptr: Tensor, ids: Tensor) -> Tensor:
        """See `Matrix.bag`."""
        return F.embedding_bag(ids, self.effective(), indptr[:-1], mode="sum")

    def dense(self) -> Tensor:
        """See `Matrix.dense`."""
        return self.effective().detach()

    @abstractmethod
    def effective(self) -> Tensor:
        """See `Matrix.effective`."""


def learns_as_a_whole(weight: Weight) -> bool:
    """Whether factors could be trained in its place: not frozen, masked, or served in part."""
    matrix = weight.matrix
    if not isinstance(matrix, TrainableMatrix) or weight.zero_diagonal:
        return False
    served = weight.corner == (weight.rows, weight.columns)
    return served and matrix.mask is None and matrix.weight.requires_grad


class TrainedRank(Rank):
    """A rank whose factors are trained in place of weights, from the first step on.

    Weights that do not learn, that another component masks or serves in part, or that no factors
    could make smaller, stay whole.

    Attributes:
        linears_alone: whether it leaves tables alone.
    """

    linears_alone: ClassVar[bool] = False

    def __init__(self) -> None:
        self.factored: dict[str, Matrix] = {}

    @property
    def acts_in_training(self) -> bool:
        """See `Rank.acts_in_training`."""
        return True

    @abstractmethod
    def served(self, size: Size) -> Form | None:
        """What is served in place of a weight of a size; None where that would be no smaller."""

    @abstractmethod
    def factors(self, weight: Weight, size: Size) -> Matrix:
        """What is trained in place of a weight; on the meta device without values."""

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.join`.

        Raises:
            Infeasible: no weight would be smaller.
        """
        self.factored = {}
        for name, weight in weights.items():
            size = Size(weight.rows, weight.columns)
            if self._divides(weight, size):
                weight.matrix = self.factored[name] = self.factors(weight, size)
        if not self.factored:
            kind = "linear weight" if self.linears_alone else "weight"
            raise Infeasible(
                f"This rank trains factors, but the model has no {kind} that learns as a whole and "
                f"that its factors would make smaller. Choose smaller factors, another model, or "
                f"svd."
            )

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Rank.price`."""
        return {name: self._priced(name, form) for name, form in forms.items()}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.compress`; factors were stored as they are."""

    def _divides(self, weight: Weight, size: Size) -> bool:
        wanted = weight.role == "linear" or not self.linears_alone
        return wanted and learns_as_a_whole(weight) and self.served(size) is not None

    def _priced(self, name: str, form: Form) -> Form:
        found = self.served(Size.of(form)) if name in self.factored else None
        return form if found is None else found


class TrainedProduct(TrainedRank):
    """A trained rank whose factors are narrow ones, two a weight."""

    @abstractmethod
    def ranks(self, size: Size) -> Interval:
        """The least and the largest rank that a weight may be served at; past `Size.most` whole."""

    def served(self, size: Size) -> Form | None:
        """See `TrainedRank.served`."""
        ranks = self.ranks(size)
        if size.most == 0 or ranks.low > size.most:
            return None
        return priced(dense_form(size.rows, size.columns), size, ranks)
