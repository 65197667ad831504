"""What a rank sees of a finished model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec import calibration
from automl_rec.calibration import answer
from automl_rec.plugin import Catalog, Layers, RankingModel, Requests, RetrievalModel, Rows
from automl_rec.testing.planted import planted_rows, planted_tiny


class Lists(RetrievalModel):
    """Keeps what it is asked."""

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        super().__init__()
        self.items, self.prepared = catalog.num_items, 0
        self.asked: list[Requests] = []

    def prepare(self) -> None:
        """See `Model.prepare`."""
        self.prepared += 1

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        assert self.prepared == 1
        self.asked.append(requests)
        return torch.zeros(len(requests), self.items)


class Judge(RankingModel):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Rows] = []

    def logits(self, rows: Rows) -> Tensor:
        """See `RankingModel.logits`."""
        self.asked.append(rows)
        return torch.zeros(len(rows))


@pytest.mark.parametrize("sample", [7, 10_000])
def test_users_with_a_history_are_asked_for_with_what_they_met_in_train(
    sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "SAMPLE", sample)
    monkeypatch.setattr(calibration, "CHUNK", 5)
    catalog = planted_tiny().catalog
    lengths = catalog.histories.lengths.copy()
    lengths[3] = 0  # a user without an event
    keep = np.repeat(lengths > 0, catalog.histories.lengths)
    histories = replace(
        catalog.histories,
        indptr=np.concatenate([[0], lengths.cumsum()]),
        items=catalog.histories.items[keep],
        times=None,
    )
    model = Lists(catalog, Layers(catalog, torch.Generator()))
    answer(model, replace(catalog, histories=histories))
    users = torch.cat([requests.users for requests in model.asked]).tolist()
    assert len(users) == min(sample, histories.num_users - 1)
    assert users == sorted(set(users) - {3})
    assert max(len(requests) for requests in model.asked) == 5
    assert users[-1] >= histories.num_users * (len(users) - 1) // len(users) - 1, "spread out"
    first = model.asked[0]
    assert first.items[: first.indptr[1]].tolist() == histories.of(users[0]).tolist()


@pytest.mark.parametrize(("sample", "judged"), [(200, 200), (10_000, 600)])
def test_rows_of_train_are_judged(
    sample: int, judged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "SAMPLE", sample)
    monkeypatch.setattr(calibration, "CHUNK", 100)
    catalog = planted_rows(rows=600)[0]
    assert catalog.rows is not None
    model = Judge()
    answer(model, catalog)
    assert sum(len(rows) for rows in model.asked) == judged
    labels = torch.cat([rows.labels for rows in model.asked if rows.labels is not None]).numpy()
    places = [0, 3] if sample == 200 else range(6)
    expected = [catalog.rows.labels[100 * place : 100 * place + 100] for place in places]
    np.testing.assert_array_equal(labels, np.concatenate(expected))
