from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Layers, Requests, Table
from automl_rec.plugin.table import Field
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.trainer import train
from automl_rec_models.collaborative.graphs import LIGHTGCN
from automl_rec_models.collaborative.lightgcn import LightGcn

Everybody = Callable[[Catalog], Requests]
HYPERPARAMETERS: dict[str, Any] = {
    "width": 4,
    "layers": 2,
    "combine": "mean",
    "regularization": 1e-3,
}


class InexactLayers(Layers):
    """Tables that claim they cannot hold any rows, as compressed ones."""

    def _made(self, field: Field) -> Table:
        table = super()._made(field)
        table.exact = False
        return table


def model_of(catalog: Catalog, made_by: type[Layers] = Layers, **changes: Any) -> LightGcn:
    source = made_by(catalog, torch.Generator().manual_seed(0))
    return LightGcn(catalog, source, **HYPERPARAMETERS | changes)


def freeze(model: LightGcn) -> None:
    for weight in (*model.user.weights(), *model.item.weights()):
        weight.freeze()


@torch.no_grad()
def scored(model: LightGcn, requests: Requests) -> Tensor:
    model.prepare()
    return model.scores(requests)


@pytest.mark.parametrize("layers", [Layers, InexactLayers])
@pytest.mark.parametrize("combine", ["mean", "last"])
def test_what_is_served_scores_as_what_was_trained(
    catalog: Catalog, everybody: Everybody, layers: type[Layers], combine: str
) -> None:
    model = model_of(catalog, layers, combine=combine)
    before = scored(model, everybody(catalog))
    assert not torch.equal(before, model.item.score(model.user.rows()))
    with torch.no_grad():
        model.finish()
    freeze(model)
    torch.testing.assert_close(scored(model, everybody(catalog)), before)


def test_tables_that_hold_any_rows_leave_the_graph_behind(catalog: Catalog) -> None:
    model = model_of(catalog)
    with torch.no_grad():
        model.finish()
    freeze(model)
    names = set(model.state_dict())
    assert names == {"user.store.matrix.values", "item.store.matrix.values"}


def test_other_tables_ship_the_graph_in_its_smallest_types(catalog: Catalog) -> None:
    state = model_of(catalog, InexactLayers).state_dict()
    assert state["graph_items"].dtype == torch.uint8
    assert state["graph_items"].tolist() == catalog.matrix.indices.tolist()
    assert state["graph_indptr"].dtype == torch.uint8
    assert state["graph_indptr"].tolist() == catalog.matrix.indptr.tolist()


def test_without_layers_there_is_no_graph_to_ship(catalog: Catalog, everybody: Everybody) -> None:
    model = model_of(catalog, InexactLayers, layers=0)
    assert len(model.state_dict()) == 2
    expected = model.user.rows() @ model.item.rows().T
    torch.testing.assert_close(scored(model, everybody(catalog)), expected.detach())


def test_the_graph_comes_back_onto_a_model_made_of_shapes_alone(
    catalog: Catalog, everybody: Everybody
) -> None:
    trained = model_of(catalog, InexactLayers)
    with torch.device("meta"):
        restored = model_of(catalog, InexactLayers)
    shapes = {name: (part.shape, part.dtype) for name, part in restored.state_dict().items()}
    assert shapes == {n: (part.shape, part.dtype) for n, part in trained.state_dict().items()}
    assert all(part.is_meta for part in restored.state_dict().values())
    restored.load_state_dict(trained.state_dict(), assign=True)
    requests = everybody(catalog)
    assert torch.equal(scored(restored, requests), scored(trained, requests))


def test_a_search_never_meets_it_without_layers_which_is_bpr_mf() -> None:
    domain = LIGHTGCN.hyperparameters["layers"]
    assert not domain.contains(0)
    assert domain.contains(1)


def test_interactions_are_drawn_by_user_if_asked(catalog: Catalog) -> None:
    assert model_of(catalog, draw="user").sampling.draw == "user"
    assert model_of(catalog, draw="edge").sampling.draw == "edge"


def test_scores_follow_the_weights_while_they_train(everybody: Everybody) -> None:
    catalog = planted_tiny().catalog
    model, seen = model_of(catalog), []

    def validate() -> tuple[float, float]:
        seen.append(model.scores(everybody(catalog)))
        return float(len(seen)), 0.0

    settings = {"learning_rate": 0.1, "batch_size": 64, "epochs": 2, "patience": 9}
    train(model, catalog, validate, settings=settings | {"evaluate_every": 1}, seed=0)
    assert not torch.equal(seen[0], seen[1])
    torch.testing.assert_close(scored(model, everybody(catalog)), seen[1])


def test_equal_seeds_give_bit_equal_weights(catalog: Catalog) -> None:
    settings = {"learning_rate": 0.1, "batch_size": 64, "epochs": 3, "patience": 9}
    models = [model_of(catalog) for _ in range(2)]
    for model in models:
        train(model, catalog, lambda: (0.0, 0.0), settings=settings | {"evaluate_every": 3}, seed=1)
    one, other = (list(model.parameters()) for model in models)
    assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))
