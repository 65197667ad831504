"""Logistic regression, and what all models that contain it share."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from automl_rec.plugin import Catalog, Layers
from automl_rec_models.ranking.fields import FieldModel, FieldTables, Reading

START = 0.01
"""Standard deviation of rows at the start."""


class LogisticRegression(FieldModel):
    """b + sum_f w_f: a bias and one weight a value of each field.

    Source: logistic regression on one-hot fields.
    Ours averages the weights of several values, and multiplies that of a numeric field with it.
    """

    def __init__(
        self, catalog: Catalog, layers: Layers, /, *others: FieldTables, regularization: float
    ) -> None:
        assert catalog.rows is not None, "the task ranking has rows"
        first = FieldTables(catalog, layers, 1, std=START, suffix=_suffix(catalog.rows.fields))
        super().__init__(regularization, first, *others)
        self.bias = nn.Parameter(torch.zeros(()))
        self._operations = first.operations + sum(tables.operations for tables in others)

    def judge(self, *readings: Reading) -> Tensor:
        """See `FieldModel.judge`."""
        return self.bias + readings[0].vectors.sum((1, 2))

    def operations(self) -> float:
        """Multiply-adds to pool and to scale the rows of tables."""
        return self._operations


def _suffix(names: Collection[str]) -> str:
    """What no field's name has to be another's, whatever the columns are called."""
    suffix = ".first"
    while any(name + suffix in names for name in names):
        suffix += "'"
    return suffix
