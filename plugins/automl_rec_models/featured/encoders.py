"""The features of users or items, each read as a row of one width."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from automl_rec.plugin import Catalog, Feature, Layers, Table

START = 0.1
"""Standard deviation of the rows at the start."""


class Encoder(nn.Module, ABC):
    """One feature of N users or items as rows of width D.

    Attributes:
        feature: which, or None for the ids.
        default: its one row stands for the value where that is unknown or masked; zeros if None.
    """

    def __init__(self, feature: Feature | None, width: int) -> None:
        super().__init__()
        self.feature, self.width = feature, width
        self.default: Table | None = None

    @abstractmethod
    def known(self) -> Tensor:
        """(N,) bool, who has a value."""

    @abstractmethod
    def read(self, ids: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        """Rows (B, D) of ids (B,), and which of them are known (B,).

        Args:
            ids: of users or items.
            dropout: share of single values left out, where there are several.
        """

    def forward(self, ids: Tensor, dropout: float = 0.0) -> Tensor:
        """Rows (B, D) of ids (B,)."""
        rows, known = self.read(ids, dropout)
        return torch.where(known[:, None], rows, self.masked(len(ids)))

    def masked(self, count: int) -> Tensor:
        """(B, D), what is read of a value that is hidden."""
        if self.default is None:
            return torch.zeros(count, self.width)
        return self.default.rows().expand(count, self.width)

    def adapt(self, trained: Tensor) -> None:
        """Learns the scale of its values from the users or items (N,) that are in train."""


def encoders_of(
    role: str, catalog: Catalog, layers: Layers, width: int, *, ids: bool, reads: float
) -> list[Encoder]:
    """An encoder for the ids, if wanted, and for each feature that somebody has.

    Args:
        role: ``"user"`` or ``"item"``.
        catalog: with the features.
        layers: makes the tables.
        width: of the rows D.
        ids: whether each user or item has a row of his own.
        reads: how often an encoder is read to score one user.
    """
    found: list[Encoder] = [_Ids(role, catalog, layers, width, reads)] if ids else []
    features = catalog.user_features if role == "user" else catalog.item_features
    for name, feature in features.items():
        if _is_known_of_somebody(feature):
            found.append(_KINDS[feature.kind](f"{role}.{name}", feature, layers, width, reads))
    return found


def _is_known_of_somebody(feature: Feature) -> bool:
    if feature.kind == "numeric":
        return bool(np.isfinite(feature.values.astype(np.float32)).any())
    if feature.kind == "vector":
        return bool(feature.values.any())
    return feature.cardinality > 0


class _Ids(Encoder):
    """A row of one's own; those without a train event are unknown, as nothing was learned."""

    def __init__(
        self, role: str, catalog: Catalog, layers: Layers, width: int, reads: float
    ) -> None:
        super().__init__(None, width)
        self._met = torch.from_numpy(catalog.counts(role) > 0)
        self.table = layers.table(role, width, std=START, lookups=reads)

    def known(self) -> Tensor:
        return self._met

    def read(self, ids: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        return self.table.lookup(ids), self._met[ids]


class _Category(Encoder):
    """One of some values."""

    def __init__(
        self, name: str, feature: Feature, layers: Layers, width: int, reads: float
    ) -> None:
        super().__init__(feature, width)
        self._codes = torch.from_numpy(feature.values.astype(np.int64))
        self.table = layers.table(name, width, std=START, lookups=reads)

    def known(self) -> Tensor:
        return self._codes >= 0

    def read(self, ids: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        codes = self._codes[ids]
        return self.table.lookup(codes), codes >= 0


class _Several(Encoder):
    """Several of some values: the mean of their rows."""

    def __init__(
        self, name: str, feature: Feature, layers: Layers, width: int, reads: float
    ) -> None:
        super().__init__(feature, width)
        assert feature.indptr is not None, "a multi-valued feature has an indptr"
        self._codes = torch.from_numpy(feature.values.astype(np.int64))
        self._starts = torch.from_numpy(feature.indptr[:-1].astype(np.int64))
        self._counts = torch.from_numpy(np.diff(feature.indptr).astype(np.int64))
        mean = len(feature.values) / max(len(self._counts), 1)
        self.table = layers.table(name, width, std=START, lookups=reads * mean)

    def known(self) -> Tensor:
        return self._counts > 0

    def read(self, ids: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        counts = self._counts[ids]
        owners = torch.repeat_interleave(counts)
        ends = counts.cumsum(0)
        places = torch.arange(len(owners)) + (self._starts[ids] - ends + counts)[owners]
        if dropout > 0:
            kept = torch.rand(len(owners)) >= dropout
            owners, places = owners[kept], places[kept]
            counts = torch.bincount(owners, minlength=len(ids))
        rows = self.table.lookup(self._codes[places])
        sums = rows.new_zeros(len(ids), self.width).index_add(0, owners, rows)
        return sums / counts.clamp(min=1)[:, None], counts > 0


class _Number(Encoder):
    """A number, standardised on train, times one row and plus another."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, name: str, feature: Feature, layers: Layers, width: int, reads: float
    ) -> None:
        super().__init__(feature, width)
        self._values = torch.from_numpy(feature.values.astype(np.float32))
        self.linear = layers.linear(name, 1, width, std=START, products=reads, sensitive=True)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def known(self) -> Tensor:
        return self._values.isfinite()

    def read(self, ids: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        values = self._values[ids]
        standard = (values.nan_to_num() - self.mean) / self.deviation
        return self.linear(standard[:, None]), values.isfinite()

    def adapt(self, trained: Tensor) -> None:
        values = self._values[trained & self.known()].double()
        if len(values) > 0:
            self.mean.copy_(values.mean())
            spread = values.std(correction=0)
            self.deviation.copy_(spread.where(spread > 0, 1.0))


class _Vector(Encoder):
    """A vector, through a linear layer."""

    def __init__(
        self, name: str, feature: Feature, layers: Layers, width: int, reads: float
    ) -> None:
        super().__init__(feature, width)
        self._values = torch.from_numpy(feature.values.astype(np.float32))
        self.linear = layers.linear(name, feature.cardinality, width, products=reads)

    def known(self) -> Tensor:
        return (self._values != 0).any(1)

    def read(self, ids: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        values = self._values[ids]
        return self.linear(values), (values != 0).any(1)


_KINDS: dict[str, Callable[..., Encoder]] = {
    "categorical": _Category,
    "multi": _Several,
    "numeric": _Number,
    "vector": _Vector,
}
