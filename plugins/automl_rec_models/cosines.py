"""Serving cosines: rows of length 1 where the table can hold them, else their lengths beside."""

import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin import Table


def normalise(table: Table) -> None:
    """Gives the rows of a trained table length 1, if it can hold any rows; call it in `finish`."""
    if table.exact:
        table.assign(F.normalize(table.rows()))


def inverse_lengths(table: Table) -> Tensor | None:
    """What inner products with all rows must be multiplied by: (N,) float32.

    None where `normalise` has taken care of it; call it in `prepare`.
    """
    training = any(weight.in_training for weight in table.weights())
    if table.exact and not training:
        return None
    lengths: Tensor = table.rows().norm(dim=1)
    return lengths.clamp(min=1e-12).reciprocal()
