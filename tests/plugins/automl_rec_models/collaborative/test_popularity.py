from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from automl_rec.plugin import Catalog, Histories, Layers, Requests
from automl_rec_models.collaborative.popularity import Popularity


def test_an_item_counts_its_different_users(fit: Callable[..., Any]) -> None:
    histories = Histories(np.array([0, 3, 4]), np.array([1, 1, 0, 1], np.int32))
    model = fit(Popularity, Catalog(3, histories))
    scores = model.scores(Requests(torch.tensor([1, 0]), torch.tensor([0, 0, 0]), torch.tensor([])))
    assert scores.tolist() == [[1.0, 2.0, 0.0]] * 2


def test_the_scores_of_one_user_can_be_masked_alone(
    fit: Callable[..., Any], catalog: Catalog, everybody: Callable[[Catalog], Requests]
) -> None:
    scores = fit(Popularity, catalog).scores(everybody(catalog))
    scores[0] = -torch.inf
    assert torch.isfinite(scores[1:]).all()
    assert scores[1].tolist() == catalog.item_counts.tolist()


def test_four_bytes_an_item_are_served(catalog: Catalog) -> None:
    model = Popularity(catalog, Layers(catalog, torch.Generator()))
    assert sum(tensor.nbytes for tensor in model.state_dict().values()) == 4 * 12
