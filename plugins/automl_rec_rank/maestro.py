"""Factors whose ranks training orders by importance."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from automl_rec.plugin import Interval, Loss, Phase, Step, Weight
from automl_rec_rank.allocation import Size
from automl_rec_rank.factors import Factors, TrainedProduct
from automl_rec_rank.spectrum import Spectrum

SERVED_SHARE = 0.5
"""Of the steps, those in which all weights act at the ranks that are served."""
TINY = 1e-24
"""Below a root, so that its slope at 0 is finite."""


class Maestro(TrainedProduct):
    """Trains full factors so that their first ranks serve alone, and lets the last ones fade.

    Factors start as the singular value decomposition of a weight's start, at full rank. Each step
    one weight acts at one rank, drawn alike among all ranks of all weights, and every other weight
    at all its ranks. A hierarchical group lasso draws the tails of both factors to 0: it adds
    ``lasso`` times the sum over ranks j of |U[:, j:]| + |V[:, j:]|. The importance of a rank,
    |U[:, j:]| |V[:, j:]|, never rises with j.

    Served are the ranks that stay important (``importance``): once an epoch, those whose
    importance has fallen below a share of the first one's are left out, until a phase starts with
    the initial weights. Or a share of the narrow side is served (``ratio``), whatever the
    importances, and in half of the steps all weights act at these ranks. Validation sees what would
    be served. A weight is stored whole where factors would be no smaller.

    Source: Horvath et al., 2023, arXiv 2308.14929. Ours counts importance relative to the first
    rank, since steps of Adam end nowhere near 1e-5. Steps at the ranks of a ratio are ours: without
    them, a model whose weights are all cut at once was never trained. It distils nothing, and batch
    normalisations are not computed anew.
    """

    def __init__(
        self,
        sized_by: Literal["importance", "ratio"],
        lasso: float,
        ratio: float = 0.25,
        threshold: float = 1e-2,
        every: float = 1.0,
        *,
        all_ranks: bool = False,
    ) -> None:
        """Sets the scheme.

        Args:
            sized_by: which ranks are served.
            lasso: weight of the group lasso.
            ratio: share of the narrow side.
            threshold: share of the first rank's importance, below which a rank is left out.
            every: epochs between looks at importances.
            all_ranks: whether each step also learns from all ranks at once.
        """
        super().__init__()
        self._ratio = ratio if sized_by == "ratio" else None
        self._lasso, self._threshold = lasso, threshold
        self._every, self._all_ranks = every, all_ranks

    def ranks(self, size: Size) -> Interval:
        """See `TrainedProduct.ranks`."""
        if self._ratio is None:
            return Interval(1, size.narrow)
        return Interval(*[max(round(self._ratio * size.narrow), 1)] * 2)

    def factors(self, weight: Weight, size: Size) -> Factors:
        """See `TrainedProduct.factors`."""
        served = None if self._ratio is None else int(self.ranks(size).low)
        factors = OrderedFactors(weight.rows, weight.columns, served)
        if not weight.trainable.is_meta:
            with torch.no_grad():
                factors.assign(weight.trainable)
        return factors

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        if phase.start == "initial":
            for factors in self._parts():
                factors.keep(factors.left.shape[1])

    def loss(self, own: Loss) -> Tensor:
        """See `LifeCycle.loss`."""
        parts = self._parts()
        lasso = self._lasso * torch.stack([factors.lasso() for factors in parts]).sum()
        whole = own() if self._all_ranks else 0.0
        for factors, rank in zip(parts, self._draw(parts), strict=True):
            factors.drawn.fill_(rank)
        loss = own()
        for factors in parts:
            factors.drawn.copy_(factors.kept)
        return whole + loss + lasso

    def _draw(self, parts: Sequence["OrderedFactors"]) -> list[int]:
        """The rank at which each weight acts in a step."""
        # torch's own source of random numbers, as for dropout: training keeps its state.
        if self._ratio is not None and float(torch.rand(())) < SERVED_SHARE:
            return [factors.served for factors in parts]
        kept = [int(factors.kept) for factors in parts]
        drawn, weight = int(torch.randint(sum(kept), ())), 0
        while drawn >= kept[weight]:
            drawn, weight = drawn - kept[weight], weight + 1
        return [*kept[:weight], drawn + 1, *kept[weight + 1 :]]

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`."""
        if step.number % max(round(self._every * step.per_epoch), 1) == 0:
            for factors in self._parts():
                factors.leave_out(self._threshold)

    def _parts(self) -> list["OrderedFactors"]:
        return [part for part in self.factored.values() if isinstance(part, OrderedFactors)]


class OrderedFactors(Factors):
    """Factors that act at their first ranks alone.

    Attributes:
        left: (rows, R) parameter, R the full rank.
        right: (columns, R) parameter.
        kept: () int64 number of ranks not left out.
        drawn: () int64 number of ranks that act in training now.
    """

    kept: Tensor
    drawn: Tensor

    def __init__(self, rows: int, columns: int, served: int | None) -> None:
        """Makes factors without values.

        Args:
            rows: M of the product.
            columns: N of the product.
            served: ranks served; those kept if None.
        """
        super().__init__(rows, columns)
        full = min(rows, columns)
        self.left = nn.Parameter(torch.empty(rows, full))
        self.right = nn.Parameter(torch.empty(columns, full))
        self.register_buffer("kept", torch.tensor(full))
        self.register_buffer("drawn", torch.tensor(full))
        self._served = served

    @property
    def served(self) -> int:
        """Ranks that would be served now."""
        return int(self.kept) if self._served is None else self._served

    @property
    def rank(self) -> int:
        """Ranks that act now."""
        return int(self.drawn) if self.training else self.served

    def acting(self) -> tuple[Tensor, Tensor]:
        """See `Factors.acting`."""
        return self.left[:, : self.rank], self.right[:, : self.rank]

    def assign(self, values: Tensor) -> None:
        """See `Matrix.assign`; exact to rounding, at the full rank."""
        left, right = Spectrum.of(values).factors(self.left.shape[1])
        self.left.copy_(left)
        self.right.copy_(right)

    def lasso(self) -> Tensor:
        """Sum of the lengths of all tails of the ranks kept: ()."""
        kept = int(self.kept)
        return tails(self.left[:, :kept]).sum() + tails(self.right[:, :kept]).sum()

    def importances(self) -> Tensor:
        """The product of both factors' tails at each rank kept: (R,)."""
        kept = int(self.kept)
        return tails(self.left[:, :kept]) * tails(self.right[:, :kept])

    def leave_out(self, threshold: float) -> None:
        """Leaves out ranks of less than a share of the first one's importance."""
        importances = self.importances()
        important = int((importances >= threshold * importances[0]).sum())
        least = 1 if self._served is None else min(self._served, int(self.kept))
        self.keep(max(important, least))

    def keep(self, ranks: int) -> None:
        """Leaves so many ranks, all of which act."""
        self.kept.fill_(ranks)
        self.drawn.fill_(ranks)


def tails(factor: Tensor) -> Tensor:
    """The length of all columns from each one on, of a factor (N, R): (R,)."""
    squares = factor.square().sum(0)
    return (squares.flip(0).cumsum(0).flip(0) + TINY).sqrt()
