"""Exchanges: entries that give way to as many others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from automl_rec_sparsity.selection import largest


@dataclass(frozen=True, slots=True)
class Exchange:
    """The entries of one matrix before an exchange.

    Attributes:
        values: (N,) float32.
        inside: (N,) bool, those that are kept now.
        worth: (N,) float32, how much each of the others deserves to be kept.
    """

    values: Tensor
    inside: Tensor
    worth: Tensor


def moving_share(first: float, passed: float) -> float:
    """Share of the entries that moves when a share of the moving time has passed.

    Falls from ``first`` to 0 by half a cosine.

    Source: Evci et al., ICML 2020, section 3 (2).
    """
    return first / 2 * (1 + math.cos(math.pi * min(passed, 1.0)))


def exchanged(part: Exchange, share: float, generator: torch.Generator, *, regrow: bool) -> Tensor:
    """The entries kept after an exchange, (N,) bool: as many as before.

    The smallest share of those inside is dropped, the first of equals last; as many of the others
    as are worth most grow, equal ones in random order. There are no more dropped than can grow.

    Args:
        part: what there is.
        share: of those inside, to be dropped.
        generator: of the order among equals.
        regrow: whether what was just dropped may grow at once.
    """
    inside = part.inside.nonzero()[:, 0]
    outside = len(part.inside) - len(inside)
    count = min(round(share * len(inside)), outside)
    staying = inside[largest(part.values[inside].abs(), len(inside) - count)]
    kept = torch.zeros_like(part.inside)
    kept[staying] = True
    free = (~kept if regrow else ~part.inside).nonzero()[:, 0]
    free = free[torch.randperm(len(free), generator=generator)]
    kept[free[largest(part.worth[free], count)]] = True
    return kept


def exchange_of_each(
    parts: Sequence[Exchange], share: float, generator: torch.Generator, *, regrow: bool
) -> list[Tensor]:
    """An exchange within each matrix: the entries kept, (N,) bool each."""
    return [exchanged(part, share, generator, regrow=regrow) for part in parts]


def exchange_of_all(
    parts: Sequence[Exchange], share: float, generator: torch.Generator, *, regrow: bool
) -> list[Tensor]:
    """One exchange among the entries of all matrices: the entries kept, (N,) bool each."""
    joined = Exchange(
        torch.cat([part.values for part in parts]),
        torch.cat([part.inside for part in parts]),
        torch.cat([part.worth for part in parts]),
    )
    kept = exchanged(joined, share, generator, regrow=regrow)
    return list(kept.split([len(part.values) for part in parts]))
