"""A registry of made-up components, and a space that uses them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from automl_rec.plugin import Choice, Component, Domain, Float, Integer, Kind
from automl_rec.registry import Plugin, Registry
from automl_rec.space.checker import check
from automl_rec.space.space import Space

Check = Callable[..., Space]


def component(
    name: str, kind: Kind = "model", domains: dict[str, Domain] | None = None, **fields: object
) -> Component:
    return Component(
        kind=kind,
        name=name,
        summary="s",
        source="s",
        implementation="nowhere:Nothing",
        hyperparameters=domains or {},
        **fields,  # type: ignore[arg-type]
    )


COMPONENTS = (
    component(
        "tower",
        domains={
            "width": Integer(1, 256, 64, log=True),
            "loss": Choice(("bce", "full"), "bce"),
            "negatives": Choice((1, 4, 16), 4, only_if={"loss": ("bce",)}),
        },
        training={
            "learning_rate": Float(1e-4, 1e-1, 1e-3, log=True),
            "epochs": Integer(1, 2000, 200, log=True, search=False),
        },
    ),
    component(
        "closed",
        domains={"regularization": Float(1.0, 1e4, 250.0, log=True)},
        compressible=frozenset({"rank", "sparsity"}),
        baseline=True,
    ),
    component("plain", compressible=frozenset(), baseline=True),
    component(
        "next",
        domains={"length": Integer(1, 50, 20)},
        tasks=("sequence",),
        excludes={("embedding", "hash"): "its rows are read in order"},
    ),
    component("click", tasks=("ranking",)),
    component("full", "embedding", {"precision": Choice(("fp32", "int8"), "fp32")}, neutral=True),
    component("hash", "embedding", {"ratio": Float(0.001, 1.0, 0.1, log=True)}),
    component("whole", "rank", neutral=True),
    component(
        "svd",
        "rank",
        {"ratio": Float(0.05, 0.75, 0.5)},
        excludes={("sparsity", "moving"): "its bases rotate"},
    ),
    component("none", "sparsity", neutral=True),
    component("magnitude", "sparsity", {"density": Float(0.001, 1.0, 0.1, log=True)}),
    component("moving", "sparsity"),
)
BASE = "data: {source: movielens-small}\nobjectives: [ndcg@10, bytes]\n"


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry([Plugin("made-up", "acme", "1.0", components=COMPONENTS)])


@pytest.fixture(scope="session")
def checked(registry: Registry) -> Check:
    """Checks a text; the sections every space needs are added unless ``base`` says otherwise."""

    def read(text: str, base: str = BASE) -> Space:
        return check(base + text, Path("space.yaml"), registry)

    return read
