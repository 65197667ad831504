"""Batches: the train part as a model learns from it, one epoch at a time."""

from collections.abc import Iterator
from typing import Protocol

import torch

from automl_rec.data.pair_batches import PairBatches
from automl_rec.data.row_batches import RowBatches
from automl_rec.data.sequence_batches import SequenceBatches
from automl_rec.plugin import Batch, Catalog, Sampling


class Batches(Protocol):
    """The batches of a catalog.

    `epoch` draws everything it needs from its generator, so equal seeds give equal batches.
    """

    def __len__(self) -> int:
        """Number of batches in an epoch."""

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """The batches of one epoch, the last one perhaps smaller."""


def batches_of(catalog: Catalog, sampling: Sampling, batch_size: int) -> Batches:
    """The batches a sampling asks for.

    Args:
        catalog: the train part.
        sampling: what the model learns from.
        batch_size: pairs, sequences or rows in a batch.
    """
    match sampling.batch:
        case "pairs":
            return PairBatches(catalog, sampling, batch_size)
        case "sequences":
            return SequenceBatches(catalog, sampling, batch_size)
        case "rows":
            return RowBatches(catalog, batch_size)
