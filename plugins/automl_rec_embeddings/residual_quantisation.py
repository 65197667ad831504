"""Residual quantisation: vectors as sums of one code's centre a level."""

from dataclasses import dataclass

import torch
from torch import Tensor

from automl_rec_embeddings.k_means import k_means

SEED = 0
"""Of the draws: the same vectors always get the same codes."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Vectors as sums of centres.

    Attributes:
        codes: (N, L) int64, one code a level.
        codebooks: (L, K, D), the centre of every code.
    """

    codes: Tensor
    codebooks: Tensor

    def vectors(self) -> Tensor:
        """(N, D) the sums."""
        books = zip(self.codebooks, self.codes.T, strict=True)
        return torch.stack([book[codes] for book, codes in books]).sum(0)


def quantise_residuals(vectors: Tensor, levels: int, size: int, *, unique: bool) -> Quantised:
    """Codes by k-means, each level of what the levels before it leave.

    Every centre is the mean of what it stands for, so that no level makes the sums worse.

    Args:
        vectors: (N, D).
        levels: number of levels L.
        size: number of codes K of a level.
        unique: whether a last level, beside L, numbers vectors that have all codes in common; from
            0, and again from 0 after K of them.
    """
    generator = torch.Generator().manual_seed(SEED)
    rest, codes, books = vectors, [], []
    for _ in range(levels):
        centres, chosen = k_means(rest, size, generator)
        rest = rest - centres[chosen]
        codes.append(chosen)
        books.append(centres)
    if unique:
        codes.append(numbered(torch.stack(codes, 1)) % size)
        sums = torch.zeros(size, rest.shape[1]).index_add_(0, codes[-1], rest)
        books.append(sums / torch.bincount(codes[-1], minlength=size).clamp(min=1)[:, None])
    return Quantised(torch.stack(codes, 1), torch.stack(books))


def numbered(codes: Tensor) -> Tensor:
    """(N,) int64 numbers from 0 of the rows of codes (N, L) that are equal, in their order."""
    _, groups, counts = codes.unique(dim=0, return_inverse=True, return_counts=True)
    order = groups.argsort(stable=True)
    first = counts.cumsum(0) - counts
    numbers = torch.empty_like(groups)
    numbers[order] = torch.arange(len(groups)) - first.repeat_interleave(counts)
    return numbers
