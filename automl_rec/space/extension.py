"""Whether one space holds all of another: then what was found in the other stands in it too."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

Plain: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
"""Kind -> name -> hyperparameter -> domain, as `Space.plain` gives them."""


def extends(now: Plain, before: Plain, installed: Callable[[str, str], bool]) -> bool:
    """Whether a space holds all that another held, but for components that are gone.

    Args:
        now: the space.
        before: the other.
        installed: whether there is a component of a kind and a name.
    """
    return all(
        _holds(now[kind][name], domains) if name in now.get(kind, {}) else not installed(kind, name)
        for kind, named in before.items()
        for name, domains in named.items()
    )


def extension(before: Plain, now: Plain) -> str:
    """What a space has that another had not, and the reverse, in a sentence."""
    pairs = [(kind, name) for kind, named in now.items() for name in named]
    new = [f"{kind} {name}" for kind, name in pairs if name not in before.get(kind, {})]
    wider = [
        f"{kind} {name}"
        for kind, name in pairs
        if name in before.get(kind, {}) and now[kind][name] != before[kind][name]
    ]
    gone = [f"{k} {name}" for k, named in before.items() for name in named if name not in now[k]]
    parts = (("has new", new), ("has wider", wider), ("is without", gone))
    said = "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)
    return f"The space {said or 'is written anew'}; what was found before it stands."


def _holds(now: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the domains of a component hold all values of its former ones."""
    return all(name in now and _contains(now[name], domain) for name, domain in before.items())


def _contains(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    # As text: to Python true equals 1.
    if json.dumps(now, sort_keys=True) == json.dumps(before, sort_keys=True):
        return True
    if now["only_if"] != before["only_if"]:
        return False
    if "low" in before:
        same = now["domain"] == before["domain"]
        return same and bool(now["low"] <= before["low"] and before["high"] <= now["high"])
    values = before["values"] if "values" in before else [before["value"]]
    return all(_allows(now, value) for value in values)


def _allows(domain: Mapping[str, Any], value: Any) -> bool:
    if "low" in domain:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = domain["domain"] == "Float" or isinstance(value, int)
        return number and whole and bool(domain["low"] <= value <= domain["high"])
    known: Collection[Any] = domain["values"] if "values" in domain else [domain["value"]]
    return any(type(listed) is type(value) and listed == value for listed in known)
