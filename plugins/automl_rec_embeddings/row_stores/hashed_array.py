"""Rows put together from pieces of one array."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from automl_rec.plugin import Field, Matrix, TrainableMatrix, Use, Weight
from automl_rec_embeddings.row_stores.pooled_rows import PooledRows
from automl_rec_embeddings.row_stores.row_store import RowStore
from automl_rec_embeddings.train_weights import train_weights

if TYPE_CHECKING:
    from automl_rec.plugin import DenseMatrix

PRIME = 2038074743
"""Modulus of the hash functions, below 2^31 so that products fit in int64."""
COEFFICIENT_BYTES = 64
"""Bytes of the coefficients of both functions."""
CHUNK_ROWS = 65536
"""Rows fitted at once."""


class SharedArray(PooledRows):
    """One array for all tables, kept in rows so that each has a step of its own in int8.

    Compression leaves it alone: every value belongs to many ids.
    """

    coefficients: Tensor

    def __init__(
        self, name: str, size: int, width: int, use: Use, generator: torch.Generator
    ) -> None:
        super().__init__(name, size, width, use, sensitive=True)
        self.register_buffer("coefficients", torch.empty(2, 4, dtype=torch.int64))
        if not self.coefficients.is_meta:
            drawn = torch.randint(1, PRIME, (2, 4), generator=generator)
            self.coefficients.copy_(drawn)

    def values(self, places: Tensor) -> Tensor:
        """Values at places (...,) int64 of the array: (...,) float32."""
        return _values(self.weight.matrix, places.reshape(-1)).reshape(places.shape)


class HashedArray(RowStore):
    """A table's rows, each put together from pieces of the array and given signs.

    Piece k of row x of table f starts at ``((A f + B x + C k + D) mod P) mod (M - Z + 1)``; column
    j has the sign that the parity of ``(A' f + B' x + C' j + D') mod P`` says.

    Source: ROBE (Desai et al., 2022), where Z is the size of a piece; signs as in the memory
    compression benchmark of Zhang et al., 2024.
    """

    computed = True
    exact = False

    def __init__(self, array: SharedArray, field: Field, number: int, piece: int) -> None:
        """Reads an array for a table.

        Args:
            array: what is read.
            field: whose rows they are.
            number: f, different for each table of the array.
            piece: Z, at most the size of the array.
        """
        super().__init__(field.num_rows, field.width)
        self.array, self.number, self.piece = array, number, piece
        self._field = field
        self._starts = array.size * array.width - piece + 1

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`."""
        return self.array.values(self.places(slots)) * self.signs(slots)

    def places(self, ids: Tensor) -> Tensor:
        """Places in the array of the rows of ids (B,) int64: (B, D) int64."""
        pieces = torch.arange(-(-self.width // self.piece))
        starts = self._hashed(0, ids, pieces) % self._starts
        inside = torch.arange(self.piece)
        places = (starts[:, :, None] + inside).reshape(len(ids), len(pieces) * self.piece)
        return places[:, : self.width]

    def signs(self, ids: Tensor) -> Tensor:
        """Signs of the rows of ids (B,) int64: (B, D) float32, each 1 or -1."""
        odd = self._hashed(1, ids, torch.arange(self.width)) & 1
        return 1.0 - 2.0 * odd

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`."""
        self.array.initialise(mean, std, generator)

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`; weighted by train counts, together with the other tables."""
        products = torch.zeros(self.array.size * self.array.width)
        weights, every = torch.zeros_like(products), train_weights(self._field)
        for ids in torch.arange(self.size).split(CHUNK_ROWS):
            weight = every[ids, None].expand(-1, self.width)
            places = self.places(ids).reshape(-1)
            products.index_add_(0, places, (weight * self.signs(ids) * rows[ids]).reshape(-1))
            weights.index_add_(0, places, weight.reshape(-1))
        self.array.fit(self._field.name, products, weights)

    def weights(self) -> tuple[Weight, ...]:
        """See `RowStore.weights`."""
        return self.array.weights()

    def settle(self) -> None:
        """See `RowStore.settle`."""
        self.array.settle()

    def operations(self) -> float:
        """See `RowStore.operations`: the signs; hashes are counted as one product each."""
        return 2.0 * self.width - (-self.width // self.piece)

    def _hashed(self, function: int, ids: Tensor, parts: Tensor) -> Tensor:
        """Hash of ids (B,) and parts (K,): (B, K) int64 below P."""
        a, b, c, d = self.array.coefficients[function]
        # Products stay below 2^62, and so does each half of the sum.
        row = (a * self.number + d + b * ids) % PRIME
        hashed: Tensor = (row[:, None] + c * parts % PRIME) % PRIME
        return hashed


def _values(matrix: Matrix, places: Tensor) -> Tensor:
    if isinstance(matrix, TrainableMatrix):
        return matrix.effective().reshape(-1).index_select(0, places)
    stored = cast("DenseMatrix", matrix)  # sensitive: never compressed
    values = stored.values.reshape(-1).index_select(0, places).float()
    if stored.scale is None:
        return values
    return values * stored.scale[torch.div(places, stored.columns, rounding_mode="floor")]
