"""Every model with embeddings, ranks and sparsities, from its price to its artefact."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from automl_rec.builder import build, finalize
from automl_rec.errors import Infeasible
from automl_rec.plugin import (
    Catalog,
    Choice,
    Component,
    Integer,
    Kind,
    Table,
    TrainableMatrix,
    TrainedModel,
    Value,
    Weight,
)
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import catalog_for, check_artefact, configuration_of, trained
from automl_rec.testing.settings import settings_of

REGISTRY = Registry.discover()
SMALL = ("width", "blocks", "length", "iterations")
SPARSE = {"item-knn", "rp3beta"}
"""Models that store as many entries as the data give them neighbours."""
SETTINGS: dict[tuple[Kind, str], list[dict[str, Value]]] = {
    ("embedding", "full"): [{"precision": "fp32"}, {"precision": "int8"}],
    ("embedding", "fixed-dim"): [{"sized_by": "width", "width": 3, "precision": "fp16"}],
    ("embedding", "hash"): [
        {"sized_by": "ratio", "ratio": 0.3, "precision": "int8"},
        {"sized_by": "ratio", "ratio": 0.3, "hashes": 2, "combine": "concat"},
    ],
    ("embedding", "mixed-dim"): [
        {"sized_by": "alpha", "alpha": 0.5},
        {"sized_by": "alpha", "alpha": 0.5, "unit": "field", "precision": "int8"},
    ],
    ("embedding", "qr"): [
        {"sized_by": "collisions", "collisions": 4, "precision": "fp16"},
        {"sized_by": "collisions", "collisions": 4, "combine": "concat"},
    ],
    ("embedding", "dnis"): [
        {"budget": 0.5, "precision": "int8"},
        {"budget": 0.5, "export": "columns", "retrain": True},
    ],
    ("embedding", "pep"): [{"budget": 0.5, "precision": "fp16"}],
    ("embedding", "matryoshka"): [
        {"sized_by": "level", "level": 1, "levels": 2, "precision": "int8"},
        {"sized_by": "level", "level": 1, "levels": 2, "nested": True},
    ],
    ("embedding", "graphhash"): [
        {"sized_by": "resolution", "resolution": 2.0, "precision": "fp16"},
        {"sized_by": "resolution", "resolution": 2.0, "double": True},
    ],
    ("embedding", "semantic-id"): [
        {"sized_by": "codes", "codes": 16, "levels": 2},
        {"sized_by": "codes", "codes": 16, "levels": 2, "source": "content"},
    ],
    ("embedding", "tt"): [{"sized_by": "rank", "rank": 2, "precision": "fp16"}],
    ("embedding", "robe"): [{"sized_by": "size", "size": 0.3, "chunk_size": 4}],
    ("embedding", "unified"): [{"sized_by": "ratio", "ratio": 0.3, "precision": "int8"}],
    ("embedding", "quant"): [
        {"sized_by": "bits", "bits": 8},
        {"sized_by": "bits", "bits": 4, "steps": "fitted"},
    ],
    ("embedding", "dpq"): [{"sized_by": "parts", "parts": 2, "words": 8}],
    ("embedding", "mgqe"): [{"sized_by": "parts", "parts": 2, "words": 16}],
    ("rank", "afm"): [{"ratio": 0.3}, {"allocation": "energy", "energy": 0.6}],
    ("rank", "maestro"): [{"every": 0.05}, {"sized_by": "ratio", "ratio": 0.3}],
    ("rank", "svd"): [
        {"ratio": 0.3},
        {"allocation": "energy", "energy": 0.6},
        {"allocation": "global", "budget": 0.8},
        {"ratio": 0.3, "tune": 0.5},
    ],
    ("sparsity", "magnitude"): [
        {"density": 0.2},
        {"density": 0.7},
        {"density": 0.2, "scope": "global"},
        {"density": 0.2, "scope": "erk"},
        {"density": 0.4, "block": 4},
        {"density": 0.2, "mode": "gradual", "every": 1},
    ],
    ("sparsity", "dsnot"): [{"density": 0.2}],
    ("sparsity", "group"): [{"keep": 0.4}],
    ("sparsity", "nm"): [
        {"pattern": "1:4", "mode": "one-shot"},
        {"pattern": "2:8", "mode": "decay", "every": 1},
    ],
    ("sparsity", "pixelfly"): [{"block": 4, "strides": 1}],
    ("sparsity", "dst"): [{"density": 0.2, "grow": "accumulated", "every": 0.1}],
}


NEUTRAL = {"full", "none"}
SELECTIVE = {
    "dnis": "less than the .* that this embedding needs",
    "matryoshka": "needs a model whose first columns|needs linear weights|halves a width of 1 more",
    "semantic-id": "Codes of content need a table of items",
}
"""Embeddings that do not serve every model, and why."""


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


WHOLE = {"ease", "sasrec"}
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


def acts(part: Chosen | None) -> bool:
    """Whether a rank or sparsity changes anything."""
    return part is not None and part.name not in NEUTRAL


def crossed() -> Iterator[Configuration]:
    """What can act on a model, crossed."""
    for name, component in REGISTRY.components("model").items():
        kinds = [
            kind for kind in ("embedding", "rank", "sparsity") if kind in component.compressible
        ]
        settings = [chosen(kind) for kind in kinds]
        crossing = list(combinations(settings, whole=name in WHOLE))
        if "embedding" in kinds:
            neutral = [next(p for p in found if not acts(p)) for found in settings[1:]]
            alone = [(embedding, *neutral) for embedding in settings[0]]
            crossing += [parts for parts in alone if parts not in crossing]
        for parts in crossing:
            yield configuration_of(
                REGISTRY, name, small(component), dict(zip(kinds, parts, strict=True))
            )


def refusal(configuration: Configuration) -> str | None:
    """Why a configuration must be refused."""
    sparsity, rank = configuration.sparsity, configuration.rank
    model = REGISTRY.component("model", configuration.model.name).load()
    parts: dict[Kind, Chosen | None] = {"rank": rank, "sparsity": sparsity}
    training = {kind: part is not None and in_training(kind, part) for kind, part in parts.items()}
    if any(training.values()) and not issubclass(model, TrainedModel):
        return "is solved in closed form"
    if rank is not None and rank.name == "sltrain" and acts(sparsity):
        return "keeps sparse entries of its own"
    if training["sparsity"] and acts(rank):
        return "moves its factors itself" if training["rank"] else "would fill them again"
    reason, untouchable = alone(configuration)
    if reason is None and untouchable and (acts(rank) or acts(sparsity)):
        return "finds nothing to act on"
    tuned = rank is not None and rank.name == "svd"  # whatever it cannot tune it factors later
    if reason is None and training["rank"] and not tuned and not factored(configuration):
        return "that learns as a whole and that its factors would make smaller"
    return reason or selection(configuration)


def selection(configuration: Configuration) -> str | None:
    """Why a sparsity that does not change every model does not change this one."""
    sparsity = configuration.sparsity
    known = None if sparsity is None else CHOOSY.get(sparsity.name)
    if known is None:
        return None
    key = configuration.model.name
    if key not in UNCHANGED:
        try:
            with torch.device("meta"):
                bare = replace(configuration, rank=None)
                build(bare, catalog_of(bare.model.name), REGISTRY, seed=0)
            UNCHANGED[key] = None
        except Infeasible as error:
            UNCHANGED[key] = known if known in str(error) else "a reason that is known"
    return UNCHANGED[key]


def factored(configuration: Configuration) -> bool:
    """Whether a rank that acts in training finds a weight to divide."""
    rank = configuration.rank
    assert rank is not None, "it acts"
    ratio = float(rank.hyperparameters.get("ratio", 0.0))

    def divided(weight: Weight) -> bool:
        rows, columns = weight.rows, weight.columns
        matrix, ranks = weight.matrix, max(round(ratio * min(rows, columns)), 1)
        return (
            isinstance(matrix, TrainableMatrix)
            and matrix.weight.requires_grad
            and weight.corner == (rows, columns)
            and (weight.role == "linear" or rank.name not in OF_LINEARS)
            and ranks * (rows + columns) < rows * columns
        )

    embedding = configuration.embedding
    key = f"{configuration.model.name} {embedding and label_of(embedding)}"
    if key not in LEARNING:
        bare = replace(configuration, rank=None, sparsity=None)
        with torch.device("meta"):
            built = build(bare, catalog_of(bare.model.name), REGISTRY, seed=0)
        LEARNING[key] = list(built.low_rank.values())
    return any(divided(weight) for weight in LEARNING[key])


LEARNING: dict[str, list[Weight]] = {}
OF_LINEARS = {"btt", "condlr", "dlrt", "sltrain"}
"""Ranks that leave tables whole while they train."""


def in_training(kind: Kind, part: Chosen) -> bool:
    """Whether a rank or sparsity acts while a model trains."""
    made = REGISTRY.component(kind, part.name).load()(**part.hyperparameters)
    return bool(made.acts_in_training)


def alone(configuration: Configuration) -> tuple[str | None, bool]:
    """Why an embedding does not serve a model; or whether it leaves no weight to others."""
    embedding = configuration.embedding
    if embedding is None:
        return None, False
    key = f"{configuration.model.name} {label_of(embedding)}"
    if key not in FOUND:
        bare = replace(configuration, rank=None, sparsity=None)
        FOUND[key] = None, False
        try:
            with torch.device("meta"):
                built = build(bare, catalog_of(bare.model.name), REGISTRY, seed=0)
            FOUND[key] = None, all(w.sensitive for w in built.layers.weights.values())
        except Infeasible as error:
            known = re.search(SELECTIVE.get(embedding.name, "nothing"), str(error))
            FOUND[key] = re.escape(known[0]) if known else "a reason that is known", False
    return FOUND[key]


FOUND: dict[str, tuple[str | None, bool]] = {}
CHOOSY = {"pixelfly": "finds no linear weight"}
"""Sparsities that need a weight of a certain kind, and what they say without one."""
UNCHANGED: dict[str, str | None] = {}


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
REFUSED = list(
    {
        (c.model.name, c.embedding and label_of(c.embedding), reason): c
        for c in CROSSED
        if (reason := refusal(c)) is not None
    }.values()
)
"""One combination for each reason that an embedding on a model meets."""


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


@pytest.mark.slow
def test_bytes_are_exact_unless_values_decide_them() -> None:
    for configuration in ALLOWED:
        if configuration.model.name not in {"bpr-mf", "dlrm", "ease", "item-knn"}:
            continue
        bounds = price(configuration, catalog_of(configuration.model.name), REGISTRY).bytes
        decided = {"dlrt", "energy", "global", "importance", "welore"}
        parts = (configuration.rank, configuration.sparsity)
        open_ended = any(decided & {p.name, *p.hyperparameters.values()} for p in parts if p)
        if not open_ended and configuration.model.name not in SPARSE:
            assert bounds.low == bounds.high, label(configuration)


def test_every_two_settings_meet_where_the_product_is_not_whole() -> None:
    parts = [chosen("embedding"), chosen("rank"), chosen("sparsity")]
    some, every = (list(combinations(parts, whole=whole)) for whole in (False, True))
    assert len(some) < len(every) / 2
    for first, second in itertools.combinations(range(3), 2):
        met = {(label_of(c[first]), label_of(c[second])) for c in some}
        assert met == {(label_of(c[first]), label_of(c[second])) for c in every}


def test_every_embedding_serves_most_models_and_refuses_some_compression() -> None:
    tables = {
        name
        for name, component in REGISTRY.components("model").items()
        if "embedding" in component.compressible
    }
    for name in REGISTRY.components("embedding"):
        served = {c.model.name for c in ALLOWED if c.embedding and c.embedding.name == name}
        assert len(served) >= len(tables) - 1, name
    reasons = {refusal(configuration) for configuration in REFUSED}
    assert {"finds nothing to act on", "would fill them again"} <= reasons


def test_most_combinations_are_allowed() -> None:
    models = {configuration.model.name for configuration in ALLOWED}
    assert models == set(REGISTRY.components("model"))
    assert len(ALLOWED) > 3 * len(REFUSED)


def sasrec_with(embedding: Chosen) -> Configuration:
    component = REGISTRY.component("model", "sasrec")
    return configuration_of(REGISTRY, "sasrec", small(component), {"embedding": embedding})


SERVING_SASREC = [e for e in chosen("embedding") if refusal(sasrec_with(e)) is None]


@pytest.mark.parametrize("embedding", SERVING_SASREC, ids=label_of)
def test_a_table_that_is_read_and_scored_with_is_replaced_once(embedding: Chosen) -> None:
    configuration = sasrec_with(embedding)
    catalog = catalog_of("sasrec")
    built = build(configuration, catalog, REGISTRY, seed=0)
    item, position = built.layers.tables["item"], built.layers.private["position"]
    tables = [part for part in built.model.modules() if isinstance(part, Table)]
    assert [*built.layers.tables] == ["item"]
    assert len(tables) == 2  # the item table, once, and positions, which are not compressed
    served = finalize(built)
    own = {name: t.nbytes for name, t in item.state_dict().items()}
    whole = sum(own.values()) + position.num_rows * position.width * 4
    assert served.bytes_tables == whole
    assert price(configuration, catalog, REGISTRY).bytes_tables.high == whole
    held = [tensor.data_ptr() for tensor in served.tensors().values() if tensor.numel()]
    assert len(held) == len(set(held)), "no tensor may be stored under two names"
    rows = item.lookup(torch.arange(item.num_rows))
    x = torch.randn(3, item.width, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(item.score(x), x @ rows.T, atol=1e-4), "both ways read the same rows"
