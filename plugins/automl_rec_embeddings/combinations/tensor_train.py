"""Products of three matrices that share a rank: a tensor train."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.combinations.combination import Combination

if TYPE_CHECKING:
    from automl_rec_embeddings.row_stores.row_store import RowStore

PIECE_ROWS = 65536
"""Rows computed at once where all are wanted."""
TOGETHER = 16
"""Fewer ids are multiplied one by one: to find those that belong together would cost more."""
FILLINGS = 50
"""How often `TensorTrain.fit` fills rows beyond the last id at most."""
FILLED = 1e-5
"""A change of those rows, relative to all, that is none."""


@dataclass(frozen=True, slots=True)
class TrainShape:
    """The shape of a table as a train of three cores.

    Attributes:
        rows: p, whose product is the number of ids or more.
        columns: q, whose product is the width D.
        ranks: r, between the first and second core, and the second and third.
    """

    rows: tuple[int, int, int]
    columns: tuple[int, int, int]
    ranks: tuple[int, int]

    @property
    def widths(self) -> tuple[int, int, int]:
        """Columns of the cores: row i of core j is a matrix (r_j-1, q_j r_j)."""
        (q1, q2, q3), (r1, r2) = self.columns, self.ranks
        return q1 * r1, r1 * q2 * r2, r2 * q3


class TensorTrain(Combination):
    """``G1[i1] G2[i2] G3[i3]``, read as a row of width q1 q2 q3, for the digits i of an id.

    Source: TT-Rec (Yin et al., 2021); `fit` is the TT-SVD (Oseledets, 2011).
    """

    needs_every_part = True
    linear = False

    def __init__(self, shape: TrainShape) -> None:
        self.shape = shape

    def widths(self, width: int, stores: int) -> tuple[int, ...]:
        """See `Combination.widths`."""
        return self.shape.widths

    def initial(self, store: int, stores: int, std: float) -> tuple[float, float]:
        """See `Combination.initial`; a value is a sum of r1 r2 products of three."""
        return 0.0, (std / prod(self.shape.ranks) ** 0.5) ** (1 / 3)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Combination.join`."""
        (q1, q2, q3), (r1, r2) = self.shape.columns, self.shape.ranks
        ids = len(parts[0])
        left = parts[0].reshape(ids, q1, r1) @ parts[1].reshape(ids, r1, q2 * r2)
        joined = left.reshape(ids, q1 * q2, r2) @ parts[2].reshape(ids, r2, q3)
        return joined.reshape(ids, q1 * q2 * q3)

    def read(self, stores: "Sequence[RowStore]", slots: Sequence[Tensor]) -> Tensor:
        """See `Combination.read`; ids with the same second digit are multiplied together."""
        if len(slots[1]) < TOGETHER:
            return super().read(stores, slots)
        (q1, q2, q3), (r1, r2) = self.shape.columns, self.shape.ranks
        digits, groups = slots[1].unique(return_inverse=True)
        order = groups.argsort(stable=True)
        firsts = stores[0].read(slots[0][order]).reshape(-1, q1, r1)
        seconds = stores[1].read(digits).reshape(-1, r1, q2 * r2)
        pairs = zip(firsts.split(groups.bincount().tolist()), seconds, strict=True)
        left = torch.cat([first.reshape(-1, r1) @ second for first, second in pairs])
        third = stores[2].read(slots[2][order]).reshape(-1, r2, q3)
        rows = left.reshape(-1, q1 * q2, r2) @ third
        return rows.reshape(-1, q1 * q2 * q3).index_select(0, order.argsort())

    def every(self, stores: "Sequence[RowStore]") -> Iterator[Tensor]:
        """See `Combination.every`."""
        return self.pieces([store.rows() for store in stores])

    def pieces(self, cores: Sequence[Tensor]) -> Iterator[Tensor]:
        """The rows of all digits in their order, some of them at once."""
        _, p2, p3 = self.shape.rows
        (q1, q2, q3), (r1, r2) = self.shape.columns, self.shape.ranks
        second = cores[1].reshape(p2, r1, q2 * r2).transpose(0, 1).reshape(r1, p2 * q2 * r2)
        third = cores[2].reshape(p3, r2, q3).transpose(0, 1).reshape(r2, p3 * q3)
        for first in cores[0].split(max(PIECE_ROWS // (p2 * p3), 1)):
            left = first.reshape(-1, r1) @ second  # (digits q1, p2 q2 r2)
            piece = left.reshape(-1, r2) @ third  # (digits q1 p2 q2, p3 q3)
            ordered = piece.reshape(-1, q1, p2, q2, p3, q3).permute(0, 2, 4, 1, 3, 5)
            yield ordered.reshape(-1, q1 * q2 * q3)

    def operations(self, widths: Sequence[int]) -> float:
        """See `Combination.operations`."""
        (q1, q2, q3), (r1, r2) = self.shape.columns, self.shape.ranks
        return float(q1 * r1 * q2 * r2 + q1 * q2 * r2 * q3)

    def operations_of_all(self, ids: int, widths: Sequence[int]) -> float:
        """See `Combination.operations_of_all`."""
        (p1, p2, p3), (q1, q2, q3) = self.shape.rows, self.shape.columns
        r1, r2 = self.shape.ranks
        return float(p1 * p2 * q1 * q2 * r1 * r2 + p1 * p2 * p3 * q1 * q2 * q3 * r2)

    def fit(
        self, rows: Tensor, slots: Sequence[Tensor], sizes: Sequence[int], weights: Tensor
    ) -> list[Tensor]:
        """See `Combination.fit`; every row weighs the same.

        Rows beyond the last id are free: they become what the train makes of them.
        """
        table = rows.new_zeros(prod(self.shape.rows), rows.shape[1])
        table[: len(rows)] = rows
        for _ in range(FILLINGS):
            cores = cores_of(table, self.shape)
            free = torch.cat(list(self.pieces(cores)))[len(rows) :]
            change = (free - table[len(rows) :]).norm()
            if change <= FILLED * rows.norm():
                break
            table[len(rows) :] = free
        return list(cores)


def cores_of(table: Tensor, shape: TrainShape) -> tuple[Tensor, Tensor, Tensor]:
    """Cores (p1, q1 r1), (p2, r1 q2 r2), (p3, r2 q3) of a train near a table (p1 p2 p3, q1 q2 q3).

    Each of two truncated decompositions is the best of its rank; with the largest ranks the train
    is the table.
    """
    (p1, p2, p3), (q1, q2, q3), (r1, r2) = shape.rows, shape.columns, shape.ranks
    ordered = table.reshape(p1, p2, p3, q1, q2, q3).permute(0, 3, 1, 4, 2, 5)
    first, rest = _split(ordered.reshape(p1 * q1, -1), r1)
    second, third = _split(rest.reshape(r1 * p2 * q2, p3 * q3), r2)
    return (
        first.reshape(p1, q1 * r1),
        second.reshape(r1, p2, q2, r2).transpose(0, 1).reshape(p2, r1 * q2 * r2),
        third.reshape(r2, p3, q3).transpose(0, 1).reshape(p3, r2 * q3),
    )


def _split(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Left (rows, rank) and right (rank, columns) whose product is nearest to the matrix."""
    wide = matrix.shape[0] <= matrix.shape[1]
    basis = _directions(matrix if wide else matrix.T, rank)
    return (basis, basis.T @ matrix) if wide else (matrix @ basis, basis.T)


def _directions(matrix: Tensor, rank: int) -> Tensor:
    """(rows, rank) the first left singular vectors of a matrix with few rows, in its own type."""
    gram = torch.zeros(len(matrix), len(matrix), dtype=torch.float64)
    for columns in matrix.split(PIECE_ROWS, dim=1):
        gram += columns.double() @ columns.double().T
    directions: Tensor = torch.linalg.eigh(gram).eigenvectors.flip(1)[:, :rank]
    return directions.to(matrix.dtype)
