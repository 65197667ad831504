"""What a model receives: batches while it trains, requests while it is scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.plugin.catalog import Histories

PADDING = -1
"""The id of a position without an item; a table answers it with zeros."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which batches a model learns from.

    Attributes:
        batch: ``"pairs"`` of user and item, ``"sequences"`` of one user's items, or labelled
            ``"rows"``; nothing below concerns rows.
        negatives: sampled negatives per positive; 0 for none.
        sampler: ``"uniform"`` over items, ``"uniform-rejecting"`` over the items the user has not
            met in train, or ``"popularity"`` (train counts to the power ``exponent``).
        exponent: of the train counts, for the sampler ``"popularity"``.
        shared: whether one set of negatives serves a whole batch.
        draw: ``"edge"`` goes once through all interactions; ``"user"`` draws a user uniformly,
            then one of his items. An epoch of sequences drawn by user has one of each user, which
            ends anywhere.
        length: longest history in a sequence batch; a longer one comes in several windows.
        cut: whether a sequence has one target, behind its last item, and at least four items where
            the user has more; else every position has a target.
        horizon: a target is drawn uniformly from that many items behind its position; 1 is the
            next item.
    """

    batch: Literal["pairs", "sequences", "rows"] = "pairs"
    negatives: int = 1
    sampler: Literal["uniform", "uniform-rejecting", "popularity"] = "uniform-rejecting"
    exponent: float = 0.75
    shared: bool = False
    draw: Literal["edge", "user"] = "edge"
    length: int = 0
    cut: bool = False
    horizon: int = 1


@dataclass(frozen=True, slots=True)
class Pairs:
    """Positive interactions with negatives.

    Attributes:
        users: (B,) int64.
        items: (B,) int64.
        negatives: (B, N) int64, or (N,) where the batch shares them.
    """

    users: Tensor
    items: Tensor
    negatives: Tensor


@dataclass(frozen=True, slots=True)
class Sequences:
    """Histories with the item that followed each position.

    Attributes:
        users: (B,) int64.
        histories: (B, L) int64, oldest first, padded on the left with `PADDING`.
        targets: (B, L) int64: the next item at each position, `PADDING` where there is none.
        negatives: (B, L, N) int64, or (B, 1, N) of the last position where sequences are cut, or
            (N,) where the batch shares them.
    """

    users: Tensor
    histories: Tensor
    targets: Tensor
    negatives: Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """Single events to be judged, each described by fields.

    Attributes:
        fields: name -> values: (B,) int64 of a categorical field, 0 standing for every rare or
            unknown value; (B, M) int64 of a multi-valued one, padded on the right with `PADDING`;
            (B,) float32 of a numeric one, standardised on train, 0 where unknown.
        labels: (B,) float32, 1 or 0; None where they are to be predicted.
    """

    fields: Mapping[str, Tensor]
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))


Batch: TypeAlias = Pairs | Sequences | Rows


@dataclass(frozen=True, slots=True)
class Requests:
    """Users to be scored, with what is known of them.

    Attributes:
        users: (B,) int64 user numbers.
        indptr: (B + 1,) int64; request b's items are ``items[indptr[b]:indptr[b + 1]]``.
        items: (E,) int64 known items, oldest first; may repeat.
    """

    users: Tensor
    indptr: Tensor
    items: Tensor

    @classmethod
    def of(cls, known: Histories, users: npt.NDArray[np.integer]) -> "Requests":
        """Requests for users (B,) with their known items."""
        chosen = known.select(users)
        return cls(
            torch.from_numpy(np.asarray(users, np.int64)),
            torch.from_numpy(chosen.indptr.astype(np.int64)),
            torch.from_numpy(chosen.items.astype(np.int64)),
        )

    def __len__(self) -> int:
        return len(self.users)

    def recent(self, length: int) -> Tensor:
        """The last ``length`` items of each request.

        Returns:
            (B, L) int64, oldest first, padded on the left with `PADDING`.
        """
        offsets = torch.arange(-length, 0) + self.indptr[1:, None]  # (B, L)
        known = offsets >= self.indptr[:-1, None]
        if len(self.items) == 0:
            return torch.full(offsets.shape, PADDING)
        return torch.where(known, self.items[offsets.clamp(min=0)], PADDING)
