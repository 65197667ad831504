"""Factors of linears whose condition is bounded while they train."""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from automl_rec.plugin import Interval, Step, Weight
from automl_rec_rank.allocation import Size
from automl_rec_rank.factors import Factors, TrainedProduct
from automl_rec_rank.spectrum import Spectrum


class CondLr(TrainedProduct):
    """Trains linears as U S V' of a fixed rank, with orthonormal U and V and a well-conditioned S.

    After each step of the optimiser U and V are made orthonormal again, by a QR whose R goes into S
    and so changes no product. Then the singular values of S are brought together: to the root of
    their mean square (``equal``, condition 1), or, where the largest is more than ``condition``
    times the smallest (``bounded``), into [1 - d, 1 + d] times their mean, with
    d = (c - 1) / (c + 1) for a condition of c. The product then has that condition too, so that a
    small change of what goes in makes no large one of what comes out.

    Tables stay whole: a step would make all of their rows orthogonal, however few it has read.

    Source: Savostianova et al., NeurIPS 2023, arXiv 2306.01485. Theirs drops the R of a QR; the
    equal values are those of the nearest orthogonal matrix here.
    """

    linears_alone = True

    def __init__(
        self, ratio: float, spread: Literal["bounded", "equal"], condition: float = 2.0
    ) -> None:
        """Sets the scheme.

        Args:
            ratio: share of the narrow side that is the rank.
            spread: how far singular values may be apart.
            condition: largest share of the largest in the smallest, at least 1.
        """
        super().__init__()
        self._ratio, self._condition = ratio, 1.0 if spread == "equal" else condition

    def ranks(self, size: Size) -> Interval:
        """See `TrainedProduct.ranks`; exact."""
        return Interval(*[max(round(self._ratio * size.narrow), 1)] * 2)

    def factors(self, weight: Weight, size: Size) -> Factors:
        """See `TrainedProduct.factors`."""
        rank = int(self.ranks(size).low)
        factors = ConditionedFactors(weight.rows, weight.columns, rank, self._condition)
        if not weight.trainable.is_meta:
            with torch.no_grad():
                factors.assign(weight.trainable)
        return factors

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`."""
        for factors in self.factored.values():
            cast("ConditionedFactors", factors).straighten()


class ConditionedFactors(Factors):
    """U S V' under training.

    Attributes:
        left: U, (rows, R) parameter.
        core: S, (R, R) parameter.
        right: V, (columns, R) parameter.
    """

    def __init__(self, rows: int, columns: int, rank: int, condition: float) -> None:
        super().__init__(rows, columns)
        self.left = nn.Parameter(torch.empty(rows, rank))
        self.core = nn.Parameter(torch.empty(rank, rank))
        self.right = nn.Parameter(torch.empty(columns, rank))
        self._condition = condition

    def acting(self) -> tuple[Tensor, Tensor]:
        """See `Factors.acting`."""
        return self.left @ self.core, self.right

    def assign(self, values: Tensor) -> None:
        """See `Matrix.assign`; the nearest of its rank, its singular values brought together."""
        left, right = Spectrum.of(values).factors(self.core.shape[0])
        self.left.copy_(left)
        self.right.copy_(right)
        self.core.copy_(torch.eye(len(self.core)))
        self.straighten()

    def straighten(self) -> None:
        """Makes U and V orthonormal without a change of the product, and conditions S."""
        (left, to_left), (right, to_right) = (_orthonormal(f) for f in (self.left, self.right))
        self.left.copy_(left)
        self.right.copy_(right)
        core = to_left @ self.core @ to_right.T
        self.core.copy_(conditioned(core.double(), self._condition))


def conditioned(core: Tensor, condition: float) -> Tensor:
    """The core (R, R) itself if its condition is within bounds, or with values brought together."""
    inner, values, outer = torch.linalg.svd(core)
    mean, spread = values.mean(), (condition - 1.0) / (condition + 1.0)
    if condition == 1.0:
        values = values.square().mean().sqrt().expand(len(values))
    elif values[0] > condition * values[-1]:
        values = values.clamp((1.0 - spread) * mean, (1.0 + spread) * mean)
    else:
        return core
    nearer: Tensor = inner * values @ outer
    return nearer


def _orthonormal(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Q and R of a factor, whose diagonal is not negative: near an orthonormal one, R is near I."""
    q, r = torch.linalg.qr(factor)
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0)
    return q * signs, signs[:, None] * r
