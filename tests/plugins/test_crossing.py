"""Every model with embeddings, ranks and sparsities, from its price to its artefact."""

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from automl_rec.builder import build, price
from automl_rec.errors import Infeasible
from automl_rec.plugin import Catalog, Choice, Component, Integer, Kind, TrainedModel, Value
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import catalog_for, check_artefact, configuration_of, trained
from automl_rec.testing.settings import settings_of

REGISTRY = Registry.discover()
SMALL = ("width", "blocks", "length", "iterations")
NARROW: dict[str, Value] = {"sized_by": "width", "width": 3}
SPARSE = {"item-knn", "rp3beta"}
"""Models that store as many entries as the data give them neighbours."""
FEW: dict[str, Value] = {"sized_by": "ratio", "ratio": 0.3}
SETTINGS: dict[tuple[Kind, str], list[dict[str, Value]]] = {
    ("embedding", "full"): [{"precision": p} for p in ("fp32", "fp16", "int8")],
    ("embedding", "fixed-dim"): [NARROW | {"precision": p} for p in ("fp32", "fp16", "int8")],
    ("embedding", "hash"): [
        FEW | {"precision": "fp32"},
        FEW | {"precision": "int8"},
        FEW | {"hashes": 2, "combine": "sum", "precision": "fp16"},
        FEW | {"hashes": 2, "combine": "concat", "precision": "fp32"},
        FEW | {"hashes": 2, "combine": "mul", "precision": "int8"},
    ],
    ("rank", "svd"): [{"ratio": 0.3}, {"allocation": "energy", "energy": 0.6}],
    ("sparsity", "magnitude"): [
        {"density": 0.2},
        {"density": 0.7},
        {"density": 0.2, "scope": "global"},
        {"density": 0.2, "mode": "gradual", "every": 1},
    ],
}


def small(component: Component) -> dict[str, Value]:
    """The defaults, but the least of what makes a model large."""
    fixed: dict[str, Value] = {}
    for name in SMALL:
        domain = component.hyperparameters.get(name)
        if isinstance(domain, Choice):
            fixed[name] = domain.values[0]
        elif isinstance(domain, Integer):
            fixed[name] = max(domain.low, 2)
    return settings_of(component, **fixed)


def chosen(kind: Kind) -> list[Chosen]:
    """Every component of a kind at the settings listed above, or at its defaults."""
    return [
        Chosen(name, settings_of(component, **fixed))
        for name, component in REGISTRY.components(kind).items()
        for fixed in SETTINGS.get((kind, name), [{}])
    ]


WHOLE = {"bpr-mf", "ease", "sasrec", "deepfm"}
"""Models that meet every combination; the others meet every pair of settings."""


def combinations(parts: list[list[Chosen]], *, whole: bool) -> Iterator[tuple[Chosen, ...]]:
    """All of the product, or so much of it that every two settings meet."""
    if whole or len(parts) < 3:
        yield from itertools.product(*parts)
        return
    least = min(range(len(parts)), key=lambda place: len(parts[place]))
    others = [part for place, part in enumerate(parts) if place != least]
    for places in itertools.product(*(range(len(part)) for part in others)):
        found = [part[place] for part, place in zip(others, places, strict=True)]
        found.insert(least, parts[least][sum(places) % len(parts[least])])
        yield tuple(found)


def crossed() -> Iterator[Configuration]:
    """What can act on a model, crossed."""
    for name, component in REGISTRY.components("model").items():
        kinds = [
            kind for kind in ("embedding", "rank", "sparsity") if kind in component.compressible
        ]
        settings = [chosen(kind) for kind in kinds]
        for parts in combinations(settings, whole=name in WHOLE):
            yield configuration_of(
                REGISTRY, name, small(component), dict(zip(kinds, parts, strict=True))
            )


def refusal(configuration: Configuration) -> str | None:
    """Why a configuration must be refused."""
    sparsity, rank = configuration.sparsity, configuration.rank
    if sparsity is None or sparsity.hyperparameters.get("mode") != "gradual":
        return None
    model = REGISTRY.component("model", configuration.model.name).load()
    if not issubclass(model, TrainedModel):
        return "is solved in closed form"
    if rank is not None and not REGISTRY.component("rank", rank.name).neutral:
        return "would fill them again"
    return None


@cache
def catalog_of(model: str) -> Catalog:
    """Small data of a model's task."""
    return catalog_for(REGISTRY.component("model", model))


def label_of(part: Chosen) -> str:
    return f"{part.name}{list(part.hyperparameters.values())}"


def label(configuration: Configuration) -> str:
    parts = (configuration.embedding, configuration.rank, configuration.sparsity)
    return " ".join([configuration.model.name, *(label_of(p) for p in parts if p is not None)])


CROSSED = list(crossed())
ALLOWED = [configuration for configuration in CROSSED if refusal(configuration) is None]
REFUSED = [configuration for configuration in CROSSED if refusal(configuration) is not None]


@pytest.mark.slow
@pytest.mark.parametrize("configuration", ALLOWED, ids=label)
def test_a_combination_trains_costs_its_price_and_comes_back_from_its_file(
    configuration: Configuration, tmp_path: Path
) -> None:
    catalog = catalog_of(configuration.model.name)
    built = trained(configuration, catalog, REGISTRY)
    check_artefact(built, catalog, REGISTRY, tmp_path)


@pytest.mark.parametrize("configuration", REFUSED, ids=label)
def test_a_combination_that_cannot_be_is_refused_with_the_reason(
    configuration: Configuration,
) -> None:
    reason, catalog = refusal(configuration), catalog_of(configuration.model.name)
    with pytest.raises(Infeasible, match=reason):
        price(configuration, catalog, REGISTRY)
    with pytest.raises(Infeasible, match=reason):
        build(configuration, catalog, REGISTRY, seed=0)


def test_bytes_are_exact_unless_values_decide_them() -> None:
    for configuration in ALLOWED:
        bounds = price(configuration, catalog_of(configuration.model.name), REGISTRY).bytes
        decided = {"energy", "global"}
        parts = (configuration.rank, configuration.sparsity)
        open_ended = any(decided & set(p.hyperparameters.values()) for p in parts if p)
        if not open_ended and configuration.model.name not in SPARSE:
            assert bounds.low == bounds.high, label(configuration)


def test_every_two_settings_meet_where_the_product_is_not_whole() -> None:
    parts = [chosen("embedding"), chosen("rank"), chosen("sparsity")]
    some, every = (list(combinations(parts, whole=whole)) for whole in (False, True))
    assert len(some) < len(every) / 2
    for first, second in itertools.combinations(range(3), 2):
        met = {(label_of(c[first]), label_of(c[second])) for c in some}
        assert met == {(label_of(c[first]), label_of(c[second])) for c in every}


def test_most_combinations_are_allowed() -> None:
    models = {configuration.model.name for configuration in ALLOWED}
    assert models == set(REGISTRY.components("model"))
    assert len(ALLOWED) > 3 * len(REFUSED)
