"""The contract of models."""

from typing import ClassVar

import torch
from torch import Tensor

from automl_rec.builder import build, finalize
from automl_rec.plugin import Catalog, Kind, Requests, TrainableMatrix
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from automl_rec.testing.contract import all_requests, trained
from automl_rec.testing.suite import Suite


class ModelSuite(Suite):
    """What all models share, whatever their task."""

    kind: ClassVar[Kind] = "model"

    def test_every_weight_is_asked_of_the_layers(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        model = build(configuration, catalog, registry, seed=0).model
        held = {id(part.weight) for part in model.modules() if isinstance(part, TrainableMatrix)}
        own = [
            name
            for name, parameter in model.named_parameters()
            if parameter.ndim > 1 and id(parameter) not in held
        ]
        assert not own, f"compression cannot act on {own}: ask layers for them"

    def test_it_has_something_for_each_compression_it_allows(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        built = build(configuration, catalog, registry, seed=0)
        found = {
            "embedding": bool(built.layers.tables),
            "rank": bool(built.low_rank),
            "sparsity": bool(built.prunable),
        }
        assert {kind for kind, some in found.items() if some} >= self.component().compressible

    def test_gradients_reach_every_parameter(
        self, learned: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        model = build(learned, catalog, registry, seed=0).model
        before = {name: parameter.detach().clone() for name, parameter in _parameters(model)}
        after = dict(_parameters(trained(learned, catalog, registry).model))
        still = [name for name in before if torch.equal(before[name], after[name])]
        assert not still, f"training never changed {still}"


class ModelTests(ModelSuite):
    """Tests every model that makes lists must pass; subclass it and set ``name``."""

    def test_every_item_is_scored_with_a_finite_float32(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        scores = served.scores(all_requests(catalog))
        assert scores.shape == (catalog.num_users, catalog.num_items)
        assert scores.dtype == torch.float32
        assert scores.isfinite().all()

    def test_users_are_scored_alike_alone_and_together(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        requests = all_requests(catalog)
        together = served.scores(requests)
        alone = torch.cat([served.scores(_single(requests, b)) for b in range(5)])
        assert torch.allclose(together[:5], alone, rtol=1e-4, atol=1e-5)

    def test_scoring_repeats_itself_and_leaves_the_request_alone(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        requests = all_requests(catalog)
        items = requests.items.clone()
        first = served.scores(requests).clone()
        assert torch.equal(first, served.scores(requests))
        assert torch.equal(items, requests.items)

    def test_a_user_without_history_is_scored(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        nothing = Requests(
            torch.tensor([0]), torch.tensor([0, 0]), torch.empty(0, dtype=torch.int64)
        )
        scores = served.scores(nothing)
        assert scores.shape == (1, catalog.num_items)
        assert scores.isfinite().all()


def _single(requests: Requests, row: int) -> Requests:
    start, end = requests.indptr[row], requests.indptr[row + 1]
    indptr = torch.stack([torch.zeros_like(start), end - start])
    return Requests(requests.users[row : row + 1], indptr, requests.items[start:end])


def _parameters(model: torch.nn.Module) -> list[tuple[str, Tensor]]:
    """Those that are trained."""
    return [(name, part) for name, part in model.named_parameters() if part.requires_grad]
