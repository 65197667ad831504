"""Holding out: a share of the train part that weights never learn from."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from automl_rec.errors import DataError
from automl_rec.plugin import Catalog, Feature, Histories, RowTable, Sampling

Flags = npt.NDArray[np.bool_]


def hold_out(
    catalog: Catalog, sampling: Sampling, share: float, generator: torch.Generator
) -> tuple[Catalog, Catalog]:
    """Splits what batches are made of: what remains, and what is held out.

    Held out are events where a model learns from pairs, users with a sequence where it learns from
    these, and rows where it learns from rows; each is drawn uniformly.

    Args:
        catalog: the train part.
        sampling: what the model learns from.
        share: held out, above 0 and below 1; at least one, and never all.
        generator: of the draw.

    Raises:
        DataError: there are no two of what is drawn.
    """
    if sampling.batch == "rows":
        assert catalog.rows is not None, "only the data of the task ranking have rows"
        held = _drawn(len(catalog.rows), share, generator)
        parts = [_rows(catalog.rows, chosen) for chosen in (~held, held)]
        rest, other = (replace(catalog, rows=part, folder=None) for part in parts)
        return rest, other
    histories = catalog.histories
    if sampling.batch == "pairs":
        held = _drawn(len(histories.items), share, generator)
    else:
        # A batch of users with a single event would be empty.
        users = np.flatnonzero(histories.lengths >= 2)
        chosen = np.zeros(histories.num_users, bool)
        chosen[users[_drawn(len(users), share, generator)]] = True
        held = np.repeat(chosen, histories.lengths)
    first, second = (_events(catalog, chosen) for chosen in (~held, held))
    return first, second


def _drawn(size: int, share: float, generator: torch.Generator) -> Flags:
    if size < 2:
        raise DataError(
            f"Holding a part of train out takes at least 2 events, sequences or rows, got {size}. "
            f"Choose an embedding that holds nothing out, or give more data."
        )
    count = min(max(round(share * size), 1), size - 1)
    held = np.zeros(size, bool)
    held[torch.randperm(size, generator=generator)[:count].numpy()] = True
    return held


def _events(catalog: Catalog, chosen: Flags) -> Catalog:
    histories = catalog.histories
    before = np.concatenate([[0], np.cumsum(chosen)])
    times = None if histories.times is None else histories.times[chosen]
    kept = Histories(before[histories.indptr], histories.items[chosen], times)
    return replace(catalog, histories=kept, folder=None)


def _rows(table: RowTable, chosen: Flags) -> RowTable:
    fields = {name: _values(feature, chosen) for name, feature in table.fields.items()}
    groups = None if table.groups is None else table.groups[chosen]
    return RowTable(fields, table.labels[chosen], groups)


def _values(feature: Feature, chosen: Flags) -> Feature:
    if feature.indptr is None:
        return replace(feature, values=feature.values[chosen])
    lengths = np.diff(feature.indptr)
    values = feature.values[np.repeat(chosen, lengths)]
    return replace(feature, values=values, indptr=np.concatenate([[0], np.cumsum(lengths[chosen])]))
