"""Configurations: each is built and priced, or refused; those of a space can be built as well."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from automl_rec.builder import build
from automl_rec.export import space_text
from automl_rec.plugin import Catalog, Choice, Domain, Float, Integer, Kind
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.search.shipping import only_configuration
from automl_rec.space.checker import check
from automl_rec.space.configuration import Configuration, require_allowed
from automl_rec.space.tasks import solves
from automl_rec.testing.planted import planted_rows, planted_tiny

CASES = 2000
SHARE_BUILT = 0.3
ACTING: list[set[str]] = [
    *({"embedding"}, {"embedding"}, {"rank"}, {"sparsity"}, set()),
    *({"embedding", "rank"}, {"embedding", "sparsity"}, {"embedding", "rank", "sparsity"}),
]
DATA: dict[str, dict[str, Any]] = {
    "retrieval": {"data": {"path": "/d.csv"}, "objectives": ["ndcg@10", "bytes"]},
    "ranking": {"data": {"path": "/d.csv", "task": "ranking"}, "objectives": ["auc", "bytes"]},
}
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, 10**12, -(10**12), 10**400),
    *(0.0, 0.5, 1.0, 1e-300, 1e308, math.inf, -math.inf, math.nan, 1e12),
    *("", "fp32", "fp16", "int8", "none", "sum", "../x", "\0", "\U0001f600", "a" * 300, "1"),
    *([], [1], [1, 2], {}, {"a": 1}, {"int": [1, 3]}, [[]], ["fp32", "int8"]),
]


def values(domain: Domain) -> st.SearchStrategy[Any]:
    """Values of a domain, its ends among them."""
    match domain:
        case Choice():
            return st.sampled_from(domain.values)
        case Integer():
            return st.one_of(
                st.sampled_from([domain.low, domain.high, domain.default]),
                st.integers(domain.low, domain.high),
            )
        case Float():
            return st.one_of(
                st.sampled_from([domain.low, domain.high, domain.default]),
                st.floats(domain.low, domain.high),
            )
        case _:
            return st.just(domain.default)


@st.composite
def chosen(
    draw: st.DrawFn, registry: Registry, kind: Kind, task: str, *, acting: bool
) -> dict[str, Any]:
    """A component with a value of every hyperparameter that acts; a neutral one if none shall."""
    known = registry.components(kind)
    able = [
        name
        for name, component in known.items()
        if (solves(component, task) if kind == "model" else acting or component.neutral)  # type: ignore[arg-type]
    ]
    name = draw(st.sampled_from(able))
    found: dict[str, Any] = {}
    for hyperparameter, domain in known[name].domains.items():
        if all(found.get(other) in allowed for other, allowed in domain.only_if.items()):
            found[hyperparameter] = draw(values(domain))
    return {name: found}


@st.composite
def configurations(draw: st.DrawFn, registry: Registry) -> tuple[str, Any]:
    """A task and a configuration as plain data; every other one has up to two odd parts."""
    task = draw(st.sampled_from(["retrieval", "retrieval", "ranking"]))
    kinds: list[Kind] = ["model", "embedding", "rank", "sparsity"]
    # Most that train exclude each other: all three at once would hardly ever be built.
    acting = {"model"} | draw(st.sampled_from(ACTING))
    whole: Any = {k: draw(chosen(registry, k, task, acting=k in acting)) for k in kinds}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        if not isinstance(whole, dict) or not whole:
            break
        whole = damaged(draw, whole)
    return task, whole


def damaged(draw: st.DrawFn, whole: dict[str, Any]) -> Any:
    """The configuration with something else in one place."""
    kind = draw(st.sampled_from(sorted(whole)))
    part = whole[kind]
    name = next(iter(part)) if isinstance(part, dict) and part else None
    held = part[name] if name is not None else None
    match draw(st.sampled_from(["value", "value", "value", "drop", "more", "name", "kind", "all"])):
        case "value" if isinstance(held, dict) and held:
            held[draw(st.sampled_from(sorted(held)))] = draw(odd)
        case "drop" if isinstance(held, dict) and held:
            del held[draw(st.sampled_from(sorted(held)))]
        case "more" if isinstance(held, dict):
            held[draw(st.sampled_from(["width", "budget", "ratio", "self", "catalog", ""]))] = draw(
                odd
            )
        case "name" if name is not None:
            part[draw(st.sampled_from(["full", "none", "ease", "magnitude", "x" * 99]))] = held
        case "kind":
            whole[draw(st.sampled_from(["model", "rank", "plugin", "Model"]))] = draw(odd)
        case "all":
            return {**whole, kind: draw(odd)} if draw(st.booleans()) else draw(odd)
    return whole


odd = st.one_of(st.sampled_from(ODD).map(lambda value: json.loads(json.dumps(value))), st.floats())


def built(whole: Any, task: str, catalog: Catalog, registry: Registry) -> Configuration:
    """What a worker makes of a configuration, up to the first step of its training."""
    found = Configuration.from_dict(whole)
    require_allowed(found, registry)
    priced = price(found, catalog, registry)
    assert 0 <= priced.bytes.low <= priced.bytes.high < math.inf
    if priced.bytes_training.high < 1e5:
        build(found, catalog, registry, seed=0)
    return found


def reread(whole: Any, task: str, registry: Registry) -> Configuration:
    """What ``automl-rec train`` reads from a file of this configuration."""
    parts = whole if isinstance(whole, Mapping) else {"model": whole}
    text = space_text({**DATA[task], **parts})
    return only_configuration(check(text, Path("/c/configuration.yaml"), registry))


def assert_said(read: Configuration, found: Configuration) -> None:
    """A file says the same as the data: without what acts on nothing, and with all defaults."""
    for kind, part in read.as_dict().items():
        for name, values in part.items():
            assert values.items() >= found.as_dict()[kind][name].items()


@pytest.mark.slow
def test_a_configuration_is_built_or_refused(registry: Registry, confinement: Any) -> None:
    catalogs = {"retrieval": planted_tiny().catalog, "ranking": planted_rows(0, rows=200)[0]}
    folder = confinement.bait.parent / "case"
    folder.mkdir()

    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
    @given(configurations(registry))
    def case(drawn: tuple[str, Any]) -> None:
        task, whole = drawn
        found = confinement.attempt(folder, lambda: built(whole, task, catalogs[task], registry))
        read = confinement.attempt(folder, lambda: reread(whole, task, registry))
        if isinstance(found, Configuration) and isinstance(read, Configuration):
            assert_said(read, found)
        outcome = "built" if isinstance(found, Configuration) else type(found).__name__
        event(outcome)
        confinement.ends[outcome] += 1
        assert not list(folder.iterdir())

    case()
    assert confinement.ends.total() >= CASES
    assert confinement.ends["built"] >= SHARE_BUILT * confinement.ends.total()
