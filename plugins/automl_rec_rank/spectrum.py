"""The singular values of a matrix, and its nearest matrix of a given rank."""

from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_ROWS = 65536
OVERSAMPLING = 16
POWER_ITERATIONS = 3


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values and vectors of the narrow side of a matrix W (M, N).

    They come from the Gram matrix of the narrow side in float64. Truncation projects W itself on
    them, so that its error is that of the discarded singular values however small those kept are.

    Attributes:
        matrix: W, or its transpose where W is wide: (tall, narrow) float32.
        wide: whether it is the transpose.
        energies: (narrow,) float64 squared singular values, largest first.
        vectors: (narrow, narrow) float64, one column a value.
    """

    matrix: Tensor
    wide: bool
    energies: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> "Spectrum":
        """The spectrum of a matrix (M, N)."""
        wide = matrix.shape[0] < matrix.shape[1]
        tall = matrix.T if wide else matrix
        gram = torch.zeros(tall.shape[1], tall.shape[1], dtype=torch.float64)
        for rows in tall.split(CHUNK_ROWS):
            gram += rows.double().T @ rows.double()
        energies, vectors = torch.linalg.eigh(gram)
        return cls(tall, wide, energies.flip(0).clamp(min=0), vectors.flip(1))

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """Left (M, R) and right (N, R) with ``left @ right.T`` nearest to W; balanced.

        Both hold the square roots of the singular values, so that neither is harder to prune or to
        round than the other.
        """
        root = self.energies[:rank] ** 0.25
        kept = self.vectors[:, :rank]
        inverse = torch.where(root > 0, 1.0 / root, 0.0)
        chunks = [rows.double() @ kept * inverse for rows in self.matrix.split(CHUNK_ROWS)]
        dtype = self.matrix.dtype
        projected, basis = torch.cat(chunks).to(dtype), (kept * root).to(dtype)
        return (basis, projected) if self.wide else (projected, basis)


def leading_factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Balanced factors as of `Spectrum.factors`, of nearly the nearest matrix of that rank.

    For ranks far below the narrow side of a large matrix W (M, N), whose whole spectrum would take
    minutes: random projection with power iterations. The projection is the same in every call.

    Source: Halko, Martinsson and Tropp, SIAM Review 2011, algorithms 4.4 and 5.1.
    """
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(matrix.shape[1], rank + OVERSAMPLING, generator=generator)
    basis = torch.linalg.qr(matrix @ start).Q
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(matrix.T @ basis).Q
        basis = torch.linalg.qr(matrix @ basis).Q
    inner, values, outer = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    root = values[:rank].sqrt()
    return basis @ inner[:, :rank] * root, outer[:rank].T * root
