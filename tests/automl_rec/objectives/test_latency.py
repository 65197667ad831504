"""Latency is that of what is served; of rows it is that of a thousand."""

import time

import pytest
import torch
from torch import Tensor

from automl_rec.costs import PRICED_ROWS
from automl_rec.objectives.latency import REQUESTS, WARM_UP, measure, measure_rows
from automl_rec.plugin import RankingModel, Rows
from automl_rec.served import Served
from automl_rec.testing.planted import planted_rows, planted_tiny

PAUSE = 2e-6
"""Seconds a row, far above what Python needs."""


class Slow(RankingModel):
    """Takes its time for every row, and remembers how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.threads: set[int] = set()
        self.labelled = False

    def logits(self, rows: Rows) -> Tensor:
        self.sizes.append(len(rows))
        self.threads.add(torch.get_num_threads())
        self.labelled |= rows.labels is not None
        end = time.perf_counter() + PAUSE * len(rows)
        while time.perf_counter() < end:
            pass
        return torch.zeros(len(rows))


@pytest.mark.parametrize(("rows", "size"), [(4000, PRICED_ROWS), (200, 200)])
def test_the_time_of_a_thousand_rows_is_told_whatever_the_table(rows: int, size: int) -> None:
    model = Slow()
    found = measure_rows(Served(model), planted_rows(rows=rows)[0].rows)  # type: ignore[arg-type]
    assert model.sizes == [size] * (WARM_UP + REQUESTS)
    assert model.threads == {1}
    assert not model.labelled
    # It cannot be faster; a busy machine may be slower.
    assert found.median_ms >= 1000 * PAUSE * PRICED_ROWS
    assert found.p95_ms >= found.median_ms
    assert found.standard_error_ms >= 0


def test_only_what_is_served_is_timed() -> None:
    rows = planted_rows(rows=10)[1]
    with pytest.raises(TypeError, match="from what is served, got Slow"):
        measure_rows(Slow(), rows)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="from what is served, got Slow"):
        measure(Slow(), planted_tiny().heldout)  # type: ignore[arg-type]
