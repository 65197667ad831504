"""The conformance suites, run by every registered component, a third party's included."""

from collections.abc import Mapping

from automl_rec.plugin import KINDS, Component, Kind, Value
from automl_rec.registry import Registry
from automl_rec.testing import (
    EmbeddingTests,
    ModelTests,
    RankingTests,
    RankTests,
    SparsityTests,
)

COMPRESSIONS: dict[Kind, type] = {
    "embedding": EmbeddingTests,
    "sparsity": SparsityTests,
    "rank": RankTests,
}
NEUTRAL: dict[tuple[Kind, str], Mapping[str, Value]] = {
    ("embedding", "full"): {"precision": "fp32"},
    ("embedding", "fixed-dim"): {"sized_by": "width", "width": 256, "precision": "fp32"},
    ("embedding", "hash"): {
        "sized_by": "ratio",
        "ratio": 1.0,
        "hashes": 1,
        "hot_share": 0.5,
        "precision": "fp32",
    },
    ("embedding", "dnis"): {
        "budget": 1.0,
        "export": "columns",
        "blocks": 6,
        "gate_rate": 1e-3,
        "l1": 1e-5,
        "held_out": 0.1,
        "retrain": True,
        "precision": "fp32",
    },
    ("embedding", "pep"): {
        "budget": 1.0,
        "granularity": "entry",
        "start": -15.0,
        "precision": "fp32",
    },
    ("embedding", "robe"): {
        "sized_by": "size",
        "size": 1.0,
        "chunk_size": 16,
        "precision": "fp32",
    },
    ("embedding", "tt"): {"sized_by": "rank", "rank": 64, "precision": "fp32"},
    ("embedding", "unified"): {
        "sized_by": "ratio",
        "ratio": 1.0,
        "chunk_width": 16,
        "precision": "fp32",
    },
    ("embedding", "mixed-dim"): {
        "sized_by": "alpha",
        "alpha": 0.0,
        "unit": "block",
        "blocks": 4,
        "powers_of_two": False,
        "precision": "fp32",
    },
    ("sparsity", "none"): {},
    ("sparsity", "dsnot"): {"density": 1.0},
    ("sparsity", "magnitude"): {"density": 1.0, "mode": "one-shot", "scope": "uniform"},
    ("rank", "full"): {},
    ("rank", "afm"): {"allocation": "uniform", "ratio": 1.0},
    ("rank", "svd"): {"allocation": "uniform", "ratio": 1.0},
}


HOSTS: dict[tuple[Kind, str], tuple[str, ...]] = {
    # The other hosts' layers are smaller than what its blocks and factors take.
    ("sparsity", "pixelfly"): ("host-layers",),
}


def suite_of(component: Component) -> type:
    if component.kind == "model":
        return RankingTests if "ranking" in component.tasks else ModelTests
    return COMPRESSIONS[component.kind]


REGISTRY = Registry.discover()
for kind in KINDS:
    for name, component in REGISTRY.components(kind).items():
        title = "".join(word.title() for word in f"{name}-{kind}".split("-"))
        members: dict[str, object] = {"name": name, "neutral": NEUTRAL.get((kind, name))}
        if (kind, name) in HOSTS:
            members["hosts"] = HOSTS[kind, name]
        globals()[f"Test{title}"] = type(f"Test{title}", (suite_of(component),), members)


def test_the_first_party_components_are_among_those_tested() -> None:
    tested = globals()
    assert issubclass(tested["TestFmModel"], RankingTests)
    assert {"TestEaseModel", "TestHashEmbedding", "TestMagnitudeSparsity", "TestSvdRank"} <= set(
        tested
    )
