"""Factorisation machine: logistic regression with the inner products of all pairs of fields."""

from torch import Tensor

from automl_rec.plugin import Catalog, Layers
from automl_rec_models.ranking.fields import FieldTables, Reading
from automl_rec_models.ranking.linear import START, LogisticRegression


class FactorizationMachine(LogisticRegression):
    """b + sum_f w_f + sum_{f < g} v_f . v_g.

    Source: Rendle, ICDM 2010, of degree 2.
    Ours has one row a value and field; several values of one field are pooled first, so that they
    do not meet each other.

    Attributes:
        size: numbers in the vectors of one row, F D.
    """

    def __init__(
        self, catalog: Catalog, layers: Layers, /, *, width: int, regularization: float
    ) -> None:
        fields = FieldTables(catalog, layers, width, std=START)
        super().__init__(catalog, layers, fields, regularization=regularization)
        self.size = fields.count * width

    def judge(self, *readings: Reading) -> Tensor:
        """See `FieldModel.judge`."""
        return super().judge(*readings) + pairs(readings[1].vectors)

    def operations(self) -> float:
        """Multiply-adds of the rows of tables, and of their sum and their squares."""
        return super().operations() + 2.0 * self.size


def pairs(vectors: Tensor) -> Tensor:
    """(B,) the sum of v_f . v_g over f < g, from vectors (B, F, D), in O(F D)."""
    flat = vectors.flatten(1)
    square = vectors.sum(1).square().sum(1)
    return 0.5 * (square - flat.square().sum(1))
