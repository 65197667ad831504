"""DLRM: inner products of all pairs of fields, judged by a perceptron."""

from typing import Literal

import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Infeasible, Layers
from automl_rec_models.ranking.fields import FieldModel, FieldTables, Reading
from automl_rec_models.ranking.linear import START
from automl_rec_models.ranking.perceptron import Hidden, Perceptron


class Dlrm(FieldModel):
    """A perceptron on the inner products of the fields, or on their vectors side by side.

    Another perceptron turns all numeric fields into one more vector, which is kept beside the inner
    products; without numeric fields there is none.

    Source: Naumov et al., 2019, arXiv 1906.00091.
    Ours takes Adam for plain gradient steps.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        /,
        *,
        width: int,
        regularization: float,
        op: Literal["dot", "cat"],
        hidden: int,
        depth: int,
        batch_norm: bool,
        dropout: float,
    ) -> None:
        fields = FieldTables(catalog, layers, width, std=START, pooling="sum", scaled=False)
        super().__init__(regularization, fields)
        dense = fields.numeric > 0
        count = fields.count + dense
        if op == "dot" and count < 2:
            raise Infeasible(
                f"dlrm: op dot needs two vectors to multiply, got {count} from the fields. "
                f"Give the data more fields, or set op to cat."
            )
        shape = Hidden(hidden, depth, batch_norm, dropout)
        self.bottom = Perceptron("bottom", fields.numeric, layers, shape) if dense else None
        self.dense = layers.linear("dense", hidden, width) if dense else None
        self._dot, products = op == "dot", count * (count - 1) // 2
        joined = products + width * dense if self._dot else count * width
        self.top = Perceptron("top", joined, layers, shape)
        self.output = layers.linear("output", hidden, 1, sensitive=True)
        self._operations = fields.operations + self.top.operations + width * products * self._dot
        self._operations += 0 if self.bottom is None else self.bottom.operations

    def judge(self, *readings: Reading) -> Tensor:
        """See `FieldModel.judge`."""
        logits: Tensor = self.output(self.top(self.joined(readings[0]))).squeeze(1)
        return logits

    def joined(self, reading: Reading) -> Tensor:
        """What the upper perceptron is given.

        Returns:
            (B, F (F - 1) / 2) inner products of the vectors, that of the numeric fields last, and
            before them that vector; or (B, F D) all of them.
        """
        dense, vectors = [], reading.vectors
        if self.bottom is not None and self.dense is not None:
            dense = [torch.relu(self.dense(self.bottom(reading.numbers)))]
            vectors = torch.cat([vectors, dense[0][:, None]], 1)
        if not self._dot:
            return vectors.flatten(1)
        products = vectors @ vectors.transpose(1, 2)  # (B, F, F)
        first, second = torch.triu_indices(products.shape[1], products.shape[2], 1)
        return torch.cat([*dense, products[:, first, second]], 1)

    def operations(self) -> float:
        """Multiply-adds of rows of tables, of inner products and of batch normalisations."""
        return self._operations
