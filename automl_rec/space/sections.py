"""The sections that say what is sought and how: objectives, budget, search, resources."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Literal

from automl_rec.errors import SpaceError
from automl_rec.space.fields import (
    Reader,
    mapping,
    number,
    one_of,
    refuse,
    seconds,
    section,
    text,
    whole,
    whole_bytes,
)
from automl_rec.space.reader import Node
from automl_rec.space.space import MOST_WORKERS, Budget, ObjectiveRequest, Resources, SearchSettings
from automl_rec.space.units import parse_bytes, parse_seconds

Direction = Literal["maximize", "minimize"]
BUDGET: Mapping[str, Reader] = {"trials": whole(1), "time": seconds, "trial_time": seconds}
SEARCH: Mapping[str, Reader] = {
    "sampler": one_of(("tpe", "nsga2", "random")),
    "early_stopping": one_of(("safe", "none")),
    "workers": whole(1, MOST_WORKERS),
    "seed": whole(0),
    "min_epochs": whole(1),
    "min_finished": whole(1),
    "lease": seconds,
    "after_parts": whole(0),
}
_DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")


def read_budget(node: Node) -> Budget:
    """When the study ends."""
    given = section(node, BUDGET)
    return Budget(given.get("trials"), given.get("time"), given.get("trial_time"))


def read_search(node: Node) -> SearchSettings:
    """How configurations are drawn and trials are stopped."""
    return SearchSettings(**section(node, SEARCH))


def read_resources(node: Node) -> Resources:
    """What one trial may use.

    Raises:
        SpaceError: an amount is none, or the name of a resource is taken.
    """
    return Resources(**section(node, RESOURCES))


def read_objectives(node: Node) -> tuple[ObjectiveRequest, ...]:
    """The objectives, in the order of the file; their names are not checked here.

    Raises:
        SpaceError: an entry has another form, or a bound does not fit its direction.
    """
    entries = node.content if isinstance(node.content, list) else [node]
    requests = [request for entry in entries for request in _entry(entry)]
    if not requests:
        refuse(node, "at least one objective", "Write for example ndcg@10: maximize.")
    return tuple(requests)


def _entry(node: Node) -> list[ObjectiveRequest]:
    if isinstance(node.content, dict):
        return [_objective(n, node.keys[n], entry) for n, entry in node.content.items()]
    return [] if node.content is None else [ObjectiveRequest(text(node), None, None, node.where)]


def _objective(name: str, where: str, node: Node) -> ObjectiveRequest:
    match node.content:
        case None:
            return ObjectiveRequest(name, None, None, where)
        case dict():
            return _bounded(name, where, node)
        case _:
            return ObjectiveRequest(name, _direction(node), None, where)


def _direction(node: Node) -> Direction:
    return next(d for d in _DIRECTIONS if d == one_of(_DIRECTIONS)(node))


def _bounded(name: str, where: str, node: Node) -> ObjectiveRequest:
    given = section(node, {field: read(name) for field, read in BOUNDS.items()})
    directions = set(_DIRECTIONS) & set(given)
    directions |= {"maximize"} if "min" in given else set()
    directions |= {"minimize"} if "max" in given else set()
    if len(directions) > 1:
        raise SpaceError(
            f"{where}: {name} must be minimised with a max or maximised with a min, got "
            f"{node.shown()}. Keep one direction and its bound."
        )
    direction = next((d for d in _DIRECTIONS if d in directions), None)
    return ObjectiveRequest(name, direction, given.get("max", given.get("min")), where)


def _yes(_name: str) -> Reader:
    def read(node: Node) -> bool:
        if node.content is not True:
            refuse(node, "true", "Write true, or remove it.")
        return True

    return read


def _bound(name: str) -> Reader:
    """Reads a bound in the unit that the objective's name ends with."""
    parse, example = next((found for part, found in _UNITS.items() if part in name), (float, "0.5"))

    def read(node: Node) -> float:
        if not isinstance(node.content, str):
            return number(node)
        try:
            found = parse(node.content)
        except ValueError:
            found = math.inf
        if not math.isfinite(found):
            refuse(node, "an amount", f"Write for example {example}.")
        return found

    return read


def _gpus(node: Node) -> float:
    found = number(node)
    if found < 0 or (found > 1 and not found.is_integer()):
        refuse(node, "a part of one GPU or a whole number of them", "Write for example 0.5 or 2.")
    return found


def _custom(node: Node) -> dict[str, float]:
    """Name of a resource -> how much of it, as machines of a cluster declare them."""
    amounts = mapping(node)
    for name, amount in amounts.items():
        if name in _GIVEN_ELSEWHERE or not _RESOURCE.fullmatch(name):
            raise SpaceError(
                f"{node.keys[name]}: {node.name} must name resources with letters, digits and "
                f"_.:/-, other than {', '.join(_GIVEN_ELSEWHERE)}, got {name!r}. "
                f"Use the name that the machines declare; cpus, gpus and memory have fields."
            )
        if number(amount) <= 0:
            refuse(amount, "a number above 0", "Correct it, or remove it.")
    return {name: number(amount) for name, amount in amounts.items()}


_RESOURCE = re.compile(r"[A-Za-z][\w.:/-]*", re.ASCII)
_GIVEN_ELSEWHERE = ("CPU", "GPU", "memory", "object_store_memory")

RESOURCES: Mapping[str, Reader] = {
    "cpus": whole(1),
    "gpus": _gpus,
    "memory": whole_bytes,
    "custom": _custom,
}

_UNITS = {
    "bytes": (parse_bytes, "4MB, 512 kB or 1MiB"),
    "_ms": (lambda given: parse_seconds(given) * 1000, "5 or 5ms"),
    "_seconds": (parse_seconds, "90 or 90s"),
}

BOUNDS: Mapping[str, Callable[[str], Reader]] = {
    "maximize": _yes,
    "minimize": _yes,
    "min": _bound,
    "max": _bound,
}
"""The fields of one objective, and who makes their reader from its name."""
