"""DCN-V2: a cross network beside or below a perceptron."""

from typing import Literal

import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Layers
from automl_rec_models.ranking.cross import CrossMixture, CrossNetwork
from automl_rec_models.ranking.fields import FieldModel, FieldTables, Reading
from automl_rec_models.ranking.linear import START
from automl_rec_models.ranking.perceptron import Hidden, Perceptron


class DcnV2(FieldModel):
    """A linear layer on what a cross network and perceptrons make of the vectors of all fields.

    Source: Wang et al., WWW 2021.
    Ours adds the cross network alone, and a perceptron on it together with one beside it.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        /,
        *,
        width: int,
        regularization: float,
        crosses: int,
        cross: Literal["full", "mixture"],
        structure: Literal["crossnet", "stacked", "parallel", "stacked-parallel"],
        rank: int = 0,
        experts: int = 0,
        hidden: int = 0,
        depth: int = 0,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        fields = FieldTables(catalog, layers, width, std=START)
        super().__init__(regularization, fields)
        size = fields.count * width
        self.cross: CrossNetwork | CrossMixture = (
            CrossNetwork(size, crosses, layers)
            if cross == "full"
            else CrossMixture(size, crosses, layers, rank=rank, experts=experts)
        )
        shape, parts = Hidden(hidden, depth, batch_norm, dropout), structure.split("-")
        self.stacked = Perceptron("stacked", size, layers, shape) if "stacked" in parts else None
        self.parallel = Perceptron("parallel", size, layers, shape) if "parallel" in parts else None
        joined = (hidden if self.stacked else size) + (hidden if self.parallel else 0)
        self.output = layers.linear("output", joined, 1, sensitive=True)
        self._operations = fields.operations + self.cross.operations + self._norms()

    def judge(self, *readings: Reading) -> Tensor:
        """See `FieldModel.judge`."""
        x = readings[0].vectors.flatten(1)
        state = self.cross(x)
        if self.stacked is not None:
            state = self.stacked(state)
        if self.parallel is not None:
            state = torch.cat([state, self.parallel(x)], 1)
        logits: Tensor = self.output(state).squeeze(1)
        return logits

    def operations(self) -> float:
        """Multiply-adds of rows of tables, of crossing, gating and batch normalisations."""
        return self._operations

    def _norms(self) -> float:
        return sum(part.operations for part in (self.stacked, self.parallel) if part is not None)
