"""What is served: a finished model, and what it takes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from automl_rec.costs import operations_of, packed_rest, table_bytes, weights_of
from automl_rec.plugin import (
    Interval,
    Model,
    RankingModel,
    Requests,
    RetrievalModel,
    Rows,
)
from automl_rec.plugin.form import ZERO
from automl_rec.plugin.matrices.describing import describe

NO_PLAN: Mapping[str, Any] = MappingProxyType({})


class Served:
    """A finished model: every weight in its stored layout, nothing under training.

    Only this type is timed and exported, so that a mask or a shadow weight of training can never
    be mistaken for what a service would run.
    """

    def __init__(self, model: Model, plan: Mapping[str, Any] = NO_PLAN) -> None:
        training = [name for name, weight in weights_of(model).items() if weight.in_training]
        if training:
            raise TypeError(f"a served model must hold no trainable matrix, got {training}")
        self._plan = plan
        self.model = model.requires_grad_(False).eval()
        with torch.no_grad():
            self.model.prepare()

    def scores(self, requests: Requests) -> Tensor:
        """How well every item suits every request: (B, I) float32."""
        assert isinstance(self.model, RetrievalModel), "only a retrieval model scores items"
        with torch.no_grad():
            return self.model.scores(requests)

    def shortlist(self, k: int) -> int:
        """How many of the best items `choose` wants to see for a list of k."""
        assert isinstance(self.model, RetrievalModel), "only a retrieval model makes lists"
        return self.model.shortlist(k)

    def choose(self, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """The lists shown, (B, k) int64, from the best items (B, C) and their scores."""
        assert isinstance(self.model, RetrievalModel), "only a retrieval model makes lists"
        with torch.no_grad():
            return self.model.choose(items, scores, k)

    def logits(self, rows: Rows) -> Tensor:
        """The log-odds that each row's label is 1: (B,) float32."""
        assert isinstance(self.model, RankingModel), "only a ranking model judges rows"
        with torch.no_grad():
            return self.model.logits(rows)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the artefact by name; their bytes are its bytes."""
        return {name: t.contiguous() for name, t in self.model.state_dict().items()}

    def structure(self) -> dict[str, Any]:
        """The embedding's plan and the layout of every weight by name, as plain data."""
        weights = weights_of(self.model).items()
        layouts = {name: describe(weight.matrix) for name, weight in weights}
        return {"plan": dict(self._plan), "layouts": layouts}

    @property
    def operations(self) -> Interval:
        """Multiply-adds to score one user against all items, or to judge `PRICED_ROWS` rows."""
        weights = weights_of(self.model).values()
        forms = {weight.name: weight.matrix.form() for weight in weights}
        return operations_of(self.model, {w.name: w for w in weights}, forms)

    @property
    def bytes(self) -> int:
        """Native bytes of the tensors."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    @property
    def bytes_tables(self) -> int:
        """Native bytes of the tables: their weights, remaps and coefficients."""
        return table_bytes(self.model)

    @property
    def bytes_packed(self) -> float:
        """Bytes if codes and places took the bits they need."""
        forms = (weight.matrix.form() for weight in weights_of(self.model).values())
        return sum((form.packed_bytes for form in forms), ZERO).high + packed_rest(self.model)
