"""Swaps: entries of a row that give way to others, so that what is missing adds up to less."""

from dataclasses import dataclass

import torch
from torch import Tensor

NEAR = 0.01
"""Share of what rows miss in the mean at which one is left alone."""
CHANCE = 0.1
"""Share of the standard deviation of what a row misses at which its mean is left alone."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a matrix is multiplied with, feature by feature.

    Attributes:
        mean: (D,) float64.
        mean_square: (D,) float64.
    """

    mean: Tensor
    mean_square: Tensor

    @property
    def variance(self) -> Tensor:
        """(D,) float64, a little more than 0 where a feature is constant."""
        difference = self.mean_square - self.mean.square()
        return difference.clamp(min=torch.finfo(torch.float32).tiny)


def wanda_scores(weight: Tensor, inputs: Inputs) -> Tensor:
    """``|W_ij|`` times the root mean square of input j: (N, D) float64.

    Source: Sun et al., ICLR 2024, equation 1, with a mean in place of a sum.
    """
    return weight.double().abs() * inputs.mean_square.sqrt()


def missing(weight: Tensor, kept: Tensor, inputs: Inputs) -> Tensor:
    """What the entries that are not kept would add to each product in the mean: (N,) float64."""
    return (weight.double() * ~kept) @ inputs.mean


def swapped(weight: Tensor, kept: Tensor, inputs: Inputs, cycles: int) -> Tensor:
    """The kept entries of weight (N, D) after swaps that bring `missing` near 0: (N, D) bool.

    In each cycle every row takes back the entry that brings it furthest for its input's variance,
    and gives the one of least Wanda score among those whose going helps as well. A row stops when
    what it misses is near 0, when it has none to give, or at a swap that would leave no less. Ties
    go to the first.

    Near 0 is a hundredth of what rows miss before the first swap, in the mean over rows, or a tenth
    of the row's own standard deviation if inputs vary independently, whichever is more: without the
    latter, inputs of mean 0, of which no sample has quite that, would cost entries that matter.

    Args:
        weight: float32 values.
        kept: (N, D) bool.
        inputs: of the weight.
        cycles: at most.

    Source: Zhang et al., ICLR 2024 (DSnoT), section 3.2. When a row stops is ours.
    """
    kept, scores = kept.clone(), wanda_scores(weight, inputs)
    shares = weight.double() * inputs.mean
    worth = shares / inputs.variance
    left = missing(weight, kept, inputs)
    spread = ((weight.double().square() * ~kept) @ inputs.variance).sqrt()
    near = torch.maximum(NEAR * left.abs().mean(), CHANCE * spread)
    rows = (left.abs() > near).nonzero()[:, 0]
    for _ in range(cycles):
        sign = left[rows].sign()[:, None]
        given = kept[rows] & (sign * shares[rows] < 0)
        back = torch.where(kept[rows], -torch.inf, sign * worth[rows])
        least = torch.where(given, -scores[rows], -torch.inf)
        taken, gone = _first_largest(back), _first_largest(least)
        after = left[rows] - shares[rows, taken] + shares[rows, gone]
        better = given.any(1) & (after.abs() < left[rows].abs())
        rows, taken, gone, after = rows[better], taken[better], gone[better], after[better]
        kept[rows, taken], kept[rows, gone], left[rows] = True, False, after
        rows = rows[after.abs() > near[rows]]
    return kept


def _first_largest(values: Tensor) -> Tensor:
    # numpy's argmax is the first of equals; torch leaves the choice open.
    return torch.from_numpy(values.numpy().argmax(1))
