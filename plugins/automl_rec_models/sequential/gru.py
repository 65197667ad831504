"""GRU: a recurrent reading of the last items of a user."""

from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    Batch,
    Catalog,
    GradientModel,
    Layers,
    Linear,
    Requests,
    Sequences,
)
from automl_rec_models.dropout import dropout
from automl_rec_models.sequential.item_vectors import item_vectors
from automl_rec_models.sequential.next_item import LossName, NextItemLoss
from automl_rec_models.sequential.packing import Packing

GATES = ("reset", "update", "new")
"""In the order in which torch's kernel expects them."""
EVENTS_AT_ONCE = 1 << 15


class Gru(GradientModel):
    """s(h, i) = (W g_h + b) . e_i, g_h the state of a GRU after the last item of history h.

    Each item changes the state g: r = sigmoid(W_r e + U_r g), z = sigmoid(W_z e + U_z g),
    n = tanh(W_n e + r (U_n g)), g <- (1 - z) n + z g, biases left out here. Padding is left out of
    the recurrence, so it changes nothing. Every matrix is a weight of its own. Torch's kernel
    multiplies them, made dense for it wherever they are stored otherwise: 1.7 times as fast for one
    user as step by step, so compression saves bytes here and no time.

    A target is drawn from the next ``horizon`` items. The items' vectors are trained, or are those
    of another model and stay as they are.

    Source: Hidasi et al., ICLR 2016 (GRU4Rec), trained on all positions of a history at once as in
    RecBole. Horizon and frozen vectors are our reading of user models on several time scales.
    """

    nests: ClassVar[bool] = True

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        hidden: int,
        depth: int,
        length: int,
        dropout: float,
        horizon: int,
        items: Literal["trainable", "fastrp", "ials"],
        loss: LossName,
        negatives: int = 0,
        shared: bool = False,
        calibration: float = 0.0,
    ) -> None:
        super().__init__()
        mean = catalog.histories.indptr[-1] / max(catalog.num_users, 1)
        positions = min(float(length), float(mean))
        std = (2 / (catalog.num_items + width)) ** 0.5
        self.item = layers.table(
            "item", width, std=std, lookups=positions, scored=True, frozen=items != "trainable"
        )
        self.levels = nn.ModuleList(
            GruLevel(f"level{n}", hidden if n else width, hidden, layers, positions)
            for n in range(depth)
        )
        self.out = layers.linear("out", hidden, width)
        self._loss = NextItemLoss(loss, negatives, shared, calibration)
        self.sampling = self._loss.sampling(length, horizon)
        self._length, self._hidden, self._dropout = length, hidden, dropout
        self._source = items

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `TrainedModel.begin`; frozen vectors are computed here."""
        if self._source != "trainable":
            self.item.assign(item_vectors(self._source, catalog, self.item.width, generator))

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`; the mean over positions with a target."""
        assert isinstance(batch, Sequences)
        wanted = batch.targets >= 0
        negatives = batch.negatives if batch.negatives.ndim == 1 else batch.negatives[wanted]
        states = self.states(batch.histories, wanted)
        return self._loss.of(self.item, states, batch.targets[wanted], negatives)

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        longest = int(requests.indptr.diff().max()) if len(requests) else 0
        histories = requests.recent(max(1, min(self._length, longest)))
        last = torch.zeros(histories.shape, dtype=torch.bool)
        last[:, -1] = True
        size = max(1, EVENTS_AT_ONCE // histories.shape[1])
        parts = zip(histories.split(size), last.split(size), strict=True)
        return self.item.score(torch.cat([self.states(*part) for part in parts]))

    def states(self, histories: Tensor, wanted: Tensor) -> Tensor:
        """What is multiplied with items, after some positions of histories.

        Args:
            histories: (B, L) int64, padded on the left.
            wanted: (B, L) bool, with P positions.

        Returns:
            (P, D).
        """
        packing = Packing.of(histories)
        after = torch.zeros(1, self._hidden)  # before any item
        if len(packing.items):
            after = torch.cat([after, self._read(packing)])
        states: Tensor = self.out(after.index_select(0, packing.places[wanted]))
        return states

    def _read(self, packing: Packing) -> Tensor:
        """(E, H) the state after each item of a packing."""
        vectors = self.item.lookup(packing.items)
        if self.training:
            vectors = dropout(vectors, self._dropout)
        start = torch.zeros(len(self.levels), int(packing.sizes[0]), self._hidden)
        tensors = [tensor for level in self.levels for tensor in level()]
        after, _ = torch.gru(
            vectors, packing.sizes, start, tensors, True, len(self.levels), 0.0, False, False
        )
        return after


class GruLevel(nn.Module):
    """The weights of one of the GRUs that stand on each other, gate by gate."""

    def __init__(self, name: str, n_in: int, hidden: int, layers: Layers, positions: float) -> None:
        super().__init__()
        self.inputs, self.states = (
            nn.ModuleList(
                layers.linear(f"{name}.{gate}_{source}", columns, hidden, products=positions)
                for gate in GATES
            )
            for source, columns in (("input", n_in), ("state", hidden))
        )

    def forward(self) -> list[Tensor]:
        """Matrices (3 H, in) and (3 H, H) and biases (3 H,), as torch's kernel expects them."""
        sides = [cast("list[Linear]", list(side)) for side in (self.inputs, self.states)]
        matrices = [torch.cat([_dense(linear) for linear in side]) for side in sides]
        biases = [torch.cat([cast("Tensor", linear.bias) for linear in side]) for side in sides]
        return matrices + biases


def _dense(linear: Linear) -> Tensor:
    return linear.weight.matrix.effective()
