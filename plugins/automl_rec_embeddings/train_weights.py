"""How much ids matter where rows that they share are fitted to them."""

import torch
from torch import Tensor

from automl_rec.plugin import Field


def train_weights(field: Field) -> Tensor:
    """(N,) float32 how much each id matters: one more than train counts, 1 without counts.

    One more, as an id without an event may have its slots to itself.
    """
    if field.counts is None:
        return torch.ones(field.num_rows)
    return 1.0 + torch.from_numpy(field.counts).float()
