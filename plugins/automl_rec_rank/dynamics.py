"""Steps of a weight U S V' whose bases turn with its gradient, and whose rank follows."""

from typing import NamedTuple

import torch
from torch import Tensor


class Decomposition(NamedTuple):
    """A matrix ``left @ core @ right.T`` (M, N) with orthonormal columns on both sides.

    Attributes:
        left: U, (M, P).
        core: S, (P, Q).
        right: V, (N, Q).
    """

    left: Tensor
    core: Tensor
    right: Tensor


def widened(now: Decomposition, slopes: tuple[Tensor, Tensor], rate: float) -> Decomposition:
    """The same matrix in bases that also hold where its factors are going.

    Both factors K = U S and L = V S' take a step of gradient descent, and each basis becomes one of
    its old columns and the moved factor: up to twice as many.

    Args:
        now: of rank R.
        slopes: of the loss by K and by L, (M, R) and (N, R): G V and G' U for the slope G of the
            loss by the matrix.
        rate: of the steps.
    """
    left, core, right = now
    to_left = _basis(left @ core - rate * slopes[0], left)
    to_right = _basis(right @ core.T - rate * slopes[1], right)
    return Decomposition(to_left, (to_left.T @ left) @ core @ (right.T @ to_right), to_right)


def narrowed(wide: Decomposition, least: int, most: int, theta: float) -> Decomposition:
    """The nearest matrix of the smallest rank that leaves no more than a share of its length.

    Args:
        wide: the matrix.
        least: of the rank, where the bases have as many columns.
        most: of the rank.
        theta: the root of the sum of squares of the singular values left out, as a share of the
            root of the sum of all squares.

    Returns:
        The core is diagonal, largest value first.
    """
    inner, values, outer = torch.linalg.svd(wide.core, full_matrices=False)
    tails = values.square().flip(0).cumsum(0).flip(0).sqrt()  # of each value and those behind it
    needed = int((tails > theta * tails[0]).sum())
    rank = max(min(max(needed, least), most, len(values)), 1)
    left, right = wide.left @ inner[:, :rank], wide.right @ outer[:rank].T
    return Decomposition(left, torch.diag(values[:rank]), right)


def _basis(*parts: Tensor) -> Tensor:
    """Orthonormal columns that span those of all parts, as many as there are or rows."""
    basis: Tensor = torch.linalg.qr(torch.cat(parts, 1)).Q
    return basis
