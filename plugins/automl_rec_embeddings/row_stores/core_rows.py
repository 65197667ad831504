"""Rows of the cores of a tensor train."""

import math

import torch

from automl_rec_embeddings.row_stores.stored_rows import StoredRows

LEAST = 0.5
"""No value starts nearer to 0, in deviations of the normal that is cut there."""


class CoreRows(StoredRows):
    """One stored row a slot, whose values start away from 0.

    A value of a table is a sum of products of three: normal factors would put most products near 0
    and a few far out.

    Source: TT-Rec (Yin et al., 2021) draws its cores so; the cut is ours.
    """

    computed = True  # what is made of three of them is

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`; a normal with its middle cut out, of the deviation asked."""
        super().initialise(mean, 1.0, generator)
        if self.weight.trainable.is_meta:
            return
        tail = math.erfc(LEAST / math.sqrt(2))
        density = math.exp(-(LEAST**2) / 2) / math.sqrt(2 * math.pi)
        variance = 1 + 2 * LEAST * density / tail
        with torch.no_grad():
            drawn = self.weight.trainable
            # The share of a standard normal below |x|, moved to the share that is left.
            share = (1 - tail) + tail * torch.erf(drawn.abs() / math.sqrt(2))
            far = math.sqrt(2) * torch.erfinv(share.clamp(max=1 - 1e-7))
            drawn.copy_(drawn.sign() * far * (std / math.sqrt(variance)))
