"""SASRec: self-attention over the last items of a user."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    Batch,
    Catalog,
    GradientModel,
    Infeasible,
    Layers,
    Requests,
    Sequences,
)
from automl_rec_models.dropout import dropout
from automl_rec_models.sequential.attention import Block, Norm, hidden
from automl_rec_models.sequential.grouping import by_length
from automl_rec_models.sequential.next_item import LossName, NextItemLoss
from automl_rec_models.sequential.reach import reach

REQUESTS_AT_ONCE = 512


class SasRec(GradientModel):
    """s(h, i) = x_h . e_i, x_h the state of a causal transformer at the last item of history h.

    The item table is read at both ends. Positions count from the newest item, so that padding on
    the left changes nothing.

    Source: Kang and McAuley, ICDM 2018.
    Ours offers three places for the normalisation, and four losses.
    """

    betas: ClassVar[tuple[float, float]] = (0.9, 0.98)

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        blocks: int,
        heads: int,
        length: int,
        dropout: float,
        norm: Norm,
        loss: LossName,
        negatives: int = 0,
        shared: bool = False,
        calibration: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads != 0:
            raise Infeasible(
                f"sasrec: width must be a multiple of heads, got {width} and {heads}. "
                f"Choose fewer heads or another width."
            )
        length = reach(catalog.histories, length)
        mean = catalog.histories.indptr[-1] / max(catalog.num_users, 1)
        positions = min(float(length), float(mean))
        std = (2 / (catalog.num_items + width)) ** 0.5
        self.item = layers.table("item", width, std=std, lookups=positions, scored=True)
        std = (2 / (length + width)) ** 0.5
        self.position = layers.table("position", width, std=std, lookups=positions, rows=length)
        self.blocks = nn.ModuleList(
            Block(
                f"block{number}",
                width,
                layers,
                heads=heads,
                dropout=dropout,
                norm=norm,
                positions=positions,
                last=number == blocks - 1,
            )
            for number in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self._loss = NextItemLoss(loss, negatives, shared, calibration)
        self.sampling = self._loss.sampling(length)
        self._length, self._dropout, self._positions = length, dropout, positions

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`; the mean over positions with a target."""
        assert isinstance(batch, Sequences)
        order, parts = by_length(batch.histories)
        wanted = batch.targets[order] >= 0
        places = [
            place[:, -part.shape[1] :]
            for part, place in zip(parts, wanted.split([len(part) for part in parts]), strict=True)
        ]
        states = torch.cat([s[place] for s, place in zip(self._of(parts), places, strict=True)])
        targets, negatives = batch.targets[order][wanted], batch.negatives
        if not self.sampling.shared:
            negatives = negatives[order][wanted]
        return self._loss.of(self.item, states, targets, negatives)

    def _of(self, parts: list[Tensor]) -> list[Tensor]:
        """The states of parts of a batch, whose items are looked up together.

        Each lookup would cost a gradient of the whole table.
        """
        items = self.item.lookup(torch.cat([part.reshape(-1) for part in parts]))
        vectors = items.split([part.numel() for part in parts])
        return [
            self._transformed(each.reshape(*part.shape, -1), part >= 0)
            for each, part in zip(vectors, parts, strict=True)
        ]

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        longest = int(requests.indptr.diff().max()) if len(requests) else 0
        histories = requests.recent(max(1, min(self._length, longest)))
        order, parts = by_length(histories)
        few = [rows for part in parts for rows in part.split(REQUESTS_AT_ONCE)]
        states = torch.empty(len(requests), self.item.width)
        states[order] = torch.cat([self.states(rows, last=True)[:, 0] for rows in few])
        return self.item.score(states)

    def states(self, histories: Tensor, *, last: bool = False) -> Tensor:
        """The state after each item of histories (B, L), or after the last alone.

        Returns:
            (B, L, D) or (B, 1, D).
        """
        return self._transformed(self.item.lookup(histories), histories >= 0, last=last)

    def _transformed(self, items: Tensor, known: Tensor, *, last: bool = False) -> Tensor:
        """The states of item rows (B, L, D), of which some are known (B, L)."""
        width = known.shape[1]
        positions = self.position.lookup(torch.arange(self._length - width, self._length))
        states = items * self.item.width**0.5 + positions
        if self.training:
            states = dropout(states, self._dropout)
        mask = hidden(known)
        for number, block in enumerate(self.blocks, 1):
            states = block(states, mask, last=last and number == len(self.blocks))
        normalised: Tensor = self.norm(states)
        return normalised

    def operations(self) -> float:
        """Multiply-adds of attention: every position with those before it, the last block once."""
        pairs = (len(self.blocks) - 1) * self._positions**2 + self._positions
        return 2 * pairs * self.item.width
