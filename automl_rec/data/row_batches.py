"""Batches of labelled rows, and rows in their order."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.plugin import PADDING, Catalog, Feature, Rows, RowTable

Places = npt.NDArray[np.int64]


class RowBatches:
    """All train rows, in another order each epoch."""

    def __init__(self, catalog: Catalog, batch_size: int) -> None:
        assert catalog.rows is not None, "only the data of the task ranking have rows"
        self._rows, self._batch_size = catalog.rows, batch_size

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self._rows) / self._batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Rows]:
        """See `automl_rec.data.batches.Batches`."""
        order = torch.randperm(len(self._rows), generator=generator).numpy()
        for start in range(0, len(order), self._batch_size):
            places = order[start : start + self._batch_size]
            yield Rows(_fields(self._rows.fields, places), _labels(self._rows, places))


def rows_of(table: RowTable, start: int, stop: int) -> Rows:
    """The rows from ``start`` to before ``stop``, in their order, with their labels."""
    places = np.arange(start, min(stop, len(table)))
    return Rows(_fields(table.fields, places), _labels(table, places))


def unlabelled(fields: Mapping[str, Feature], start: int, stop: int) -> Rows:
    """Rows of encoded fields, from ``start`` to before ``stop``, which must exist."""
    return Rows(_fields(fields, np.arange(start, stop)))


def _fields(fields: Mapping[str, Feature], places: Places) -> dict[str, Tensor]:
    return {name: _values(feature, places) for name, feature in fields.items()}


def _labels(table: RowTable, places: Places) -> Tensor:
    return torch.from_numpy(np.take(table.labels, places))


def _values(feature: Feature, places: Places) -> Tensor:
    if feature.indptr is not None:
        return _several(feature.values, feature.indptr, places)
    values = torch.from_numpy(np.take(feature.values, places))
    return values if feature.kind == "numeric" else values.long()


def _several(values: npt.NDArray[np.generic], indptr: Places, places: Places) -> Tensor:
    """(B, M) the values of each row, M the longest row's number of them and at least 1."""
    starts = np.take(indptr, places)
    lengths = np.take(indptr, places + 1) - starts
    offsets = np.arange(max(1, int(lengths.max(initial=0))))
    known = offsets < lengths[:, None]
    found = np.full(known.shape, PADDING, np.int64)
    found[known] = values[(starts[:, None] + offsets)[known]]
    return torch.from_numpy(found)
