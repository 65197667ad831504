"""Calibration: a finished model answers for the train part, and compressions watch its weights."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from automl_rec.data.row_batches import rows_of
from automl_rec.plugin import (
    Catalog,
    Model,
    RankingModel,
    Requests,
    RetrievalModel,
    Rows,
    RowTable,
)

SAMPLE = 8192
"""Users asked for, or rows judged, at most."""
CHUNK_SCORES = 1 << 22
CHUNK = 1024


def answer(model: Model, catalog: Catalog) -> None:
    """Scores all items for users of the train part, or judges its rows, as in service.

    Users and rows are those of the whole train part, or a sample at equal distances. Called without
    gradient, in evaluation mode.
    """
    model.prepare()
    if isinstance(model, RankingModel):
        assert catalog.rows is not None, "the task ranking has rows"
        for rows in _rows(catalog.rows):
            model.logits(rows)
        return
    assert isinstance(model, RetrievalModel), "a model scores items or judges rows"
    for requests in _requests(catalog):
        model.scores(requests)


def _requests(catalog: Catalog) -> Iterator[Requests]:
    users = np.flatnonzero(catalog.histories.lengths)
    users = users[_spread(len(users), SAMPLE)]
    size = min(max(CHUNK_SCORES // max(catalog.num_items, 1), 1), CHUNK)
    for start in range(0, len(users), size):
        yield Requests.of(catalog.histories, users[start : start + size])


def _rows(table: RowTable) -> Iterator[Rows]:
    chunks = range(0, len(table), CHUNK)
    for place in _spread(len(chunks), SAMPLE // CHUNK):
        yield rows_of(table, chunks[place], chunks[place] + CHUNK)


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Places among so many, all of them or that many at equal distances."""
    return np.arange(min(count, most)) * count // max(min(count, most), 1)
