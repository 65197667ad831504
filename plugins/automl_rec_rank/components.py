"""The principal components of what a matrix gives, and the matrix projected on them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from automl_rec_rank.factoring import balanced
from automl_rec_rank.watching import Moments


@dataclass(frozen=True, slots=True)
class Components:
    """The principal components of what a matrix W (M, N) gives, vectors of width D.

    Attributes:
        matrix: W where it gives products W x, its transpose where it gives rows or their sums.
        products: which of them it gives.
        energies: (D,) float64 eigenvalues of their moments, largest first.
        vectors: (D, D) float64 eigenvectors, one column a value.
        mean: (D,) float64 of what it gives.
    """

    matrix: Tensor
    products: bool
    energies: Tensor
    vectors: Tensor
    mean: Tensor

    @classmethod
    def of(
        cls, matrix: Tensor, given: Moments, *, about_mean: bool, products: bool
    ) -> "Components":
        """The components of what a matrix (M, N) gave, about its mean or about 0."""
        energies, vectors = torch.linalg.eigh(given.second(about_mean=about_mean))
        facing = matrix if products else matrix.T
        energies, vectors = energies.flip(0).clamp(min=0), vectors.flip(1)
        return cls(facing, products, energies, vectors, given.mean)

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """Balanced left (M, R) and right (N, R) whose product gives projections on R of them."""
        kept = self.vectors[:, :rank]
        others = self.matrix.T.double() @ kept
        left, right = balanced(kept, others) if self.products else balanced(others, kept)
        return left.to(self.matrix.dtype), right.to(self.matrix.dtype)

    def left_of_mean(self, rank: int) -> Tensor:
        """What the projection on so many components leaves of the mean: (D,)."""
        kept = self.vectors[:, :rank]
        return (self.mean - kept @ (kept.T @ self.mean)).to(self.matrix.dtype)
