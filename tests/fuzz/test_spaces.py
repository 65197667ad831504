"""Spaces: whatever a file says, it is a checked space or an error that names file and line."""

import json
import math
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from automl_rec.errors import AutomlRecError, Infeasible
from automl_rec.objectives import resolve
from automl_rec.plugin import Choice, Domain, Float, Integer, Kind, Value
from automl_rec.registry import Registry
from automl_rec.space.checker import read_space
from automl_rec.space.configuration import Configuration
from automl_rec.space.data_section import COLUMNS, SPLIT, data_fields, written_data
from automl_rec.space.sections import BUDGET, SEARCH
from automl_rec.space.space import Space
from automl_rec.space.tasks import solves

CASES = 4700
SHARE_ACCEPTED = 0.25
NAMES: dict[str, list[str]] = {
    "retrieval": ["ndcg@10", "recall@5", "hit@20/cold", "mrr@3", "coverage@10", "ndcg@5/cold3"],
    "ranking": ["auc", "gauc", "logloss"],
}
COSTS = ["bytes", "bytes_tables", "bytes_packed", "latency_ms", "operations", "train_seconds"]


class Raw(str):
    """A piece of YAML that is written as it stands."""

    __slots__ = ()


TAGS = [
    "!!python/object/apply:os.system ['touch here']",
    "!!python/object/new:subprocess.Popen [[touch, here]]",
    "!!python/name:os.system ''",
    "!!python/module:antigravity ''",
    "!include ../bait.csv",
    "!!binary aGk=",
    "!!str 5",
    "!<tag:yaml.org,2002:set> {a}",
    "! 3",
]
ALIASES = [
    "&a [*a]",
    "*a",
    "&a 3",
    "{<<: *a}",
    "{<<: {width: 8}}",
    f"[&a0 [1, 1, 1, 1, 1], {', '.join(f'&a{n + 1} [' + f'*a{n}, ' * 5 + ']' for n in range(6))}]",
    "[" * 25 + "]" * 25,
    "{a: " * 25 + "1" + "}" * 25,
    ".nan",
    "-.inf",
    "9" * 400,
    "9" * 400 + "h",
    "9" * 400 + "MB",
    "0x10",
    "1_000",
    "1:30",
    "2024-05-31",
    "''",
    '"\\ud800"',
    '"a\\0b"',
    '"\\x1b[2J"',
    '"\\U0001F600"',
    "'''",
    '"unclosed',
    "|",
    "? [1]",
    "% x",
    "@ x",
]
PATHS = ["~", "~nobody/x", "../bait.csv", "/dev/zero", "/etc/passwd", "n" * 300, "a/" * 3000, "."]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 255, 2**31, 2**63, 10**17, 10**18 - 1, -(10**18) + 1),
    *(0.0, -0.0, 0.1, 0.5, 1.0, 1.5, 1e-300, 1e308, -1e308, math.inf, math.nan),
    *("", " ", "none", "full", "ease", "sasrec", "svd", "auto", "random", "temporal", "given"),
    *("csv", "lists", "ranking", "minimize", "maximize", "4MB", "1 KiB", "90s", "1h 30m", "5 ms"),
    *("1e3", "no", "Null", "1.", "+.5", "user", "ähm", "e\u0301", "\u202e", "\U0001f600", "k" * 70),
    *(";", "\t", '"', "\n", "\\", "{", "::", "\x7f", "\u00a0", "=1+1"),
    *([], {}, [1], [1, 1], [1, 2], [2, 1], [0.1, 0.9], ["a", 1, True], [[1]], [None], [{}]),
    *({"int": [1, 4]}, {"int": [4, 1]}, {"int": [1, 10**17]}, {"float": [0.1, 0.5]}, {"int": [1]}),
    *({"float": [0, 1], "log": True}, {"float": [1e-4, 1], "log": 3}, {"min": 0.5}, {"max": "4MB"}),
    *({"ease": {"regularization": 5}}, {"minimize": True, "max": 1}, list(range(60))),
]
odd = st.one_of(
    st.sampled_from(VALUES),
    st.sampled_from([*map(Raw, TAGS), *map(Raw, ALIASES)]),
    st.sampled_from(PATHS),
    st.integers(-(10**18), 10**18),
    st.floats(),
    st.text(max_size=8),
)
BYTES = [b"", b"\xff", b"\x00", b"\t", b"\n", b" ", b"'", b'"', b"[", b"]", b"{", b"}", b":", b","]
BYTES += [b"---\n", b"...\n", b"\xef\xbb\xbf", b"\xff\xfe", b"*a", b"&a ", b"!", b"|\n", b"#", b"%"]
BYTES += [b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\x85", b"\r", b"\x1b", b"<<: ", b"? "]
_PLAIN = re.compile(r"[A-Za-z][\w./@-]*")


def written(value: Any) -> str:
    """Flow YAML of plain data; words stand without quotes where they can."""
    match value:
        case Raw():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case str() if _PLAIN.fullmatch(value) and value.lower() not in {"true", "false", "null"}:
            return value
        case float() if not math.isfinite(value):
            return f".{value}" if value > 0 or math.isnan(value) else "-.inf"
        case _:
            return json.dumps(value)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside nested data, keys and positions one after the other."""
    match value:
        case dict():
            pairs = list(value.items())
        case list():
            pairs = list(enumerate(value))
        case _:
            return
    for key, inner in pairs:
        yield (*way, key)
        yield from places(inner, (*way, key))


def narrowed(domain: Domain) -> st.SearchStrategy[Any]:
    """What a space may say of a hyperparameter: nothing, a value, some values, a range."""
    values: st.SearchStrategy[Any]
    match domain:
        case Choice():
            values = st.sampled_from(domain.values)
        case Integer():
            values = st.integers(domain.low, domain.high)
        case Float():
            values = st.floats(domain.low, domain.high)
        case _:
            values = st.just(domain.default)
    several = st.lists(values, min_size=1, max_size=3, unique_by=lambda v: (type(v), v))
    if not isinstance(domain, Integer | Float):
        return st.one_of(st.none(), values, several)
    kind = "int" if isinstance(domain, Integer) else "float"
    ends = st.tuples(values, values).map(lambda pair: {kind: sorted(pair)})
    return st.one_of(st.none(), values, several, ends)


@st.composite
def components(draw: st.DrawFn, registry: Registry, kind: Kind, task: str) -> Any:
    """A section that names a few components of a kind, each with a few hyperparameters."""
    known = registry.components(kind)
    able = [n for n, c in known.items() if kind != "model" or solves(c, task)]  # type: ignore[arg-type]
    names = draw(st.lists(st.sampled_from(able), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        return names
    section = {}
    for name in names:
        domains = known[name].domains
        chosen = draw(st.lists(st.sampled_from(sorted(domains)), max_size=2)) if domains else []
        section[name] = {h: draw(narrowed(domains[h])) for h in chosen} or None
    return section


DATA: dict[str, list[dict[str, Any]]] = {
    "retrieval": [
        {"source": "movielens-small"},
        {"path": "events.csv", "columns": {"user": "u", "item": "i"}, "k_core": 5, "seed": 3},
        {"path": "a.tsv", "format": "csv", "separator": ";", "threshold": 3.5, "header": False},
        {"train": "a.inter", "validation": "b.inter", "test": "c.inter", "duplicates": "last"},
        {"path": "e.csv", "split": {"kind": "user-disjoint", "test": 0.2, "holdout": 0.5}},
        {"path": "e.pq", "item_features": {"path": "i.csv", "columns": {"genre": "multi"}}},
    ],
    "ranking": [
        {"source": "movielens-small", "task": "ranking", "threshold": 4},
        {"path": "r.csv", "task": "ranking", "fields": {"price": "binned", "tags": "multi"}},
        {"path": "r.csv", "task": "ranking", "split": "temporal", "min_count": 2, "seed": 0},
        {"train": "a.csv", "test": "b.csv", "task": "ranking", "label_range": [0, 5]},
    ],
}


@st.composite
def valid(draw: st.DrawFn, registry: Registry) -> dict[str, Any]:
    """A space that is nearly always sound, as plain data."""
    task = draw(st.sampled_from(["retrieval", "retrieval", "ranking"]))
    space: dict[str, Any] = {"data": draw(st.sampled_from(DATA[task]))}
    names = [
        draw(st.sampled_from(NAMES[task])),
        *draw(st.lists(st.sampled_from(COSTS), max_size=2)),
    ]
    space["objectives"] = dict.fromkeys(names) if draw(st.booleans()) else names
    space["model"] = draw(components(registry, "model", task))
    for kind in ("embedding", "rank", "sparsity"):
        if draw(st.booleans()):
            space[kind] = draw(components(registry, kind, task))
    if draw(st.booleans()):
        space["budget"] = {"trials": 3, "time": "3m", "trial_time": 9}
        space["search"] = {"sampler": "nsga2", "seed": 1, "workers": 2, "early_stopping": "none"}
    return space


FIELDS = {
    "data": [*data_fields(Path()), "columns", "split", "fields"],
    "budget": list(BUDGET),
    "search": list(SEARCH),
}
INNER = {
    "split": list(SPLIT),
    "columns": list(COLUMNS),
    "fields": ["price", "1e3"],
    "user_features": ["path", "id", "columns", "format"],
    "item_features": ["path", "id", "columns", "format"],
}


@st.composite
def nearly_valid(draw: st.DrawFn, registry: Registry) -> bytes:
    """The text of a space in which up to three values, keys or bytes are others."""
    space = json.loads(json.dumps(draw(valid(registry))))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        if draw(st.booleans()):
            set_field(draw, space)
            continue
        ways = list(places(space))
        way = ways[draw(st.integers(0, len(ways) - 1))]
        change(draw, space, way)
    lines = [f"{written(key)}: {written(value)}" for key, value in space.items()]
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 5)) == 0:
        at, length = draw(st.integers(0, len(text))), draw(st.sampled_from([0, 0, 1, 3, 50]))
        text = text[:at] + draw(st.sampled_from(BYTES)) + text[at + length :]
    return text


def set_field(draw: st.DrawFn, space: dict[str, Any]) -> None:
    """Another value of a field that the program knows."""
    name = draw(st.sampled_from(["data", "data", "data", "budget", "search"]))
    section = inside(space, name)
    field = draw(st.sampled_from(FIELDS[name]))
    if field in INNER and draw(st.booleans()):
        section, field = inside(section, field), draw(st.sampled_from(INNER[field]))
    is_path = field in {"path", "train", "validation", "test"} and draw(st.booleans())
    section[field] = deepcopy(draw(st.sampled_from(PATHS) if is_path else odd))


def inside(holder: dict[str, Any], name: str) -> dict[str, Any]:
    """The mapping at a key, made where there is none."""
    if not isinstance(holder.get(name), dict):
        holder[name] = {}
    found: dict[str, Any] = holder[name]
    return found


def change(draw: st.DrawFn, space: Any, way: tuple[Any, ...]) -> None:
    """Another value, key, or number of them at a place."""
    *outer, last = way
    holder = space
    for step in outer:
        holder = holder[step]
    match draw(st.sampled_from(["value", "value", "value", "remove", "wrap", "key", "more"])):
        case "remove":
            del holder[last]
        case "wrap":
            holder[last] = draw(st.sampled_from([[holder[last]], {"float": holder[last]}]))
        case "key" if isinstance(holder, dict):
            key = draw(st.one_of(st.just(f"{last}s"), st.sampled_from(PATHS), st.text(max_size=5)))
            holder[Raw(key) if draw(st.booleans()) else key] = holder.pop(last)
        case "more" if isinstance(holder, dict):
            holder[draw(st.sampled_from([Raw(last), "user_features", "int", "columns"]))] = (
                deepcopy(draw(odd))
            )
        case _:
            holder[last] = deepcopy(draw(odd))


def used(space: Space, choose: Any) -> None:
    """What a study asks of a space: all of it must hold for a space that was accepted."""
    resolve(space.objectives, space.data.task)
    assert re.fullmatch("[0-9a-f]{16}", space.digest)
    count = space.configurations()
    assert count is None or count >= 0
    for configuration in (space.resolve(choose), *map(space.defaults, space.components["model"])):
        again = Configuration.from_dict(json.loads(configuration.text))
        assert again.digest == configuration.digest
    written_data(space.data)


def at_random(draw: int) -> Any:
    """Chooses by the digits of a number."""

    def choose(name: str, domain: Domain) -> Value:
        share = (hash((draw, len(name))) % 997) / 996
        match domain:
            case Choice():
                return domain.values[int(share * (len(domain.values) - 1))]
            case Integer():
                return domain.low + int(share * (domain.high - domain.low))
            case Float():
                return domain.low + share * (domain.high - domain.low)
            case _:
                return domain.default

    return choose


@pytest.mark.slow
def test_a_space_is_checked_or_refused_with_its_file(registry: Registry, confinement: Any) -> None:
    folder = confinement.bait.parent / "case"
    folder.mkdir()
    path = folder / "space.yaml"

    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
    @given(nearly_valid(registry), st.integers(0, 10**6))
    def case(text: bytes, draw: int) -> None:
        path.write_bytes(text)
        found = confinement.attempt(folder, lambda: read_space(path, registry))
        if isinstance(found, AutomlRecError):
            assert str(found).startswith(str(path))
        else:
            ended = confinement.attempt(folder, lambda: used(found, at_random(draw)))
            assert ended is None or isinstance(ended, Infeasible) or "objective" in str(ended)
        outcome = type(found).__name__
        event(outcome)
        confinement.ends[outcome] += 1
        assert [entry.name for entry in folder.iterdir()] == ["space.yaml"]

    case()
    assert confinement.ends.total() >= CASES
    assert confinement.ends["Space"] >= SHARE_ACCEPTED * confinement.ends.total()
