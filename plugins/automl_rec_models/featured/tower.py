"""A tower: from the features of users or items to vectors of unit length."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import Layers
from automl_rec_models.featured.encoders import Encoder


class Tower(nn.Module):
    """Reads k features, joins their rows, and sends them through a perceptron.

    Where one feature is all there is, and no hidden layer, its rows are the vectors.

    Attributes:
        features: the encoders of all k.
    """

    def __init__(
        self, role: str, encoders: Sequence[Encoder], layers: Layers, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.features = tuple(encoders)
        self._encoders = nn.ModuleList(encoders)
        width = encoders[0].width
        widths = [len(encoders) * width, *hidden, width]
        if len(widths) == 2 and len(encoders) == 1:
            widths = [width]
        products = 1.0 if role == "user" else 0.0
        self.linears = nn.ModuleList()
        before = None
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            name = f"{role}_tower{number}"
            before = layers.linear(name, inputs, outputs, products=products, after=before)
            self.linears.append(before)

    def forward(self, ids: Tensor, masked: Tensor | None = None, dropout: float = 0.0) -> Tensor:
        """Vectors (B, D) of unit length for ids (B,).

        Args:
            ids: of users or items.
            masked: (k,) bool, which features are hidden; None for none.
            dropout: share of single values left out, where a feature has several.
        """
        hidden = [False] * len(self.features) if masked is None else masked.tolist()
        states = torch.cat(
            [
                encoder.masked(len(ids)) if hide else encoder(ids, dropout)
                for encoder, hide in zip(self.features, hidden, strict=True)
            ],
            dim=1,
        )
        for number, linear in enumerate(self.linears):
            states = linear(F.relu(states) if number > 0 else states)
        return F.normalize(states, dim=1)

    def make_defaults(self, role: str, layers: Layers, trained: Tensor, *, masked: bool) -> None:
        """Gives a default row to each feature where training will read it.

        Args:
            role: ``"user"`` or ``"item"``.
            layers: makes the rows.
            trained: (N,) bool, the users or items that are in train.
            masked: whether features will be hidden.
        """
        for number, encoder in enumerate(self.features):
            if masked or bool((trained & ~encoder.known()).any()):
                name = f"{role}_default{number}"
                encoder.default = layers.table(name, encoder.width, lookups=0.0, rows=1)
