"""Typed reading of a node: what a field must be, and how that is said."""

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn, TypeAlias

from automl_rec.errors import SpaceError
from automl_rec.plugin import Value
from automl_rec.space.reader import Node
from automl_rec.space.units import parse_bytes, parse_seconds

Reader: TypeAlias = Callable[[Node], Any]


def section(node: Node, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The fields of a mapping, each read by its reader; those not given are left out.

    Raises:
        SpaceError: it is no mapping, or a key is unknown.
    """
    entries = mapping(node)
    for key, where in node.keys.items():
        if key not in readers:
            full = f"{node.name}.{key}" if node.name else key
            raise SpaceError(f'{where}: there is no field "{full}". {suggestion(key, readers)}')
    return {name: readers[name](entry) for name, entry in entries.items()}


def mapping(node: Node) -> dict[str, Node]:
    """The entries of a mapping; none of an empty value."""
    if node.content is None:
        return {}
    if not isinstance(node.content, dict):
        refuse(node, "a mapping", "Write name: value pairs.")
    return node.content


def plain(node: Node) -> Value:
    """A text, number or boolean."""
    if node.content is None or isinstance(node.content, list | dict):
        refuse(node, "one value", "Write a text, a number, true or false.")
    if isinstance(node.content, float) and not math.isfinite(node.content):
        refuse(node, "a finite number", "Write its digits.")
    return node.content


def flag(node: Node) -> bool:
    """True or false."""
    if not isinstance(node.content, bool):
        refuse(node, "true or false", "Write one of them.")
    return node.content


def text(node: Node) -> str:
    """A text that is not empty."""
    if not isinstance(node.content, str) or not node.content:
        refuse(node, "a text", "Put it in quotes if it looks like a number.")
    return node.content


def number(node: Node) -> float:
    """A finite number."""
    content = node.content
    if isinstance(content, bool) or not isinstance(content, int | float):
        refuse(node, "a number", "Write its digits.")
    if not math.isfinite(content):
        refuse(node, "a finite number", "Write its digits.")
    return float(content)


def whole(low: float = -math.inf, high: float = math.inf) -> Callable[[Node], int]:
    """Reads a whole number of at least ``low`` and at most ``high``."""
    least = f" of at least {low:g}" if math.isfinite(low) else ""
    least += f" and at most {high:g}" if math.isfinite(high) else ""

    def read(node: Node) -> int:
        content = node.content
        if isinstance(content, bool) or not isinstance(content, int) or not low <= content <= high:
            refuse(node, f"a whole number{least}", "Correct it.")
        return content

    return read


def pair(read: Reader) -> Callable[[Node], tuple[Any, Any]]:
    """Reads two values, low and high."""

    def both(node: Node) -> tuple[Any, Any]:
        if not isinstance(node.content, list) or len(node.content) != 2:
            refuse(node, "[low, high]", "Write the two bounds in brackets.")
        return read(node.content[0]), read(node.content[1])

    return both


def seconds(node: Node) -> float:
    """A duration above 0; a bare number means seconds."""
    try:
        found = parse_seconds(node.content) if isinstance(node.content, str) else number(node)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        refuse(node, "a duration", "Write for example 90s, 3m or 1h.")
    return found


def whole_bytes(node: Node) -> int:
    """At least one byte, written with its unit."""
    try:
        found = parse_bytes(node.content) if isinstance(node.content, str) else 0.0
    except ValueError:
        found = 0.0
    if not 1 <= found < math.inf:
        refuse(node, "an amount of bytes with its unit", "Write for example 2GB or 512MiB.")
    return int(found)


def one_of(options: Collection[str]) -> Callable[[Node], str]:
    """Reads one of a few words."""

    def read(node: Node) -> str:
        if isinstance(node.content, str) and node.content in options:
            return node.content
        remedy = _close(node.shown(), options) or "Choose one."
        refuse(node, f"one of {', '.join(options)}", remedy)

    return read


def refuse(node: Node, required: str, remedy: str) -> NoReturn:
    """Raises the error of a value that is not what its field requires."""
    raise SpaceError(f"{node.where}: {node.name} must be {required}, got {node.shown()}. {remedy}")


def suggestion(name: str, known: Collection[str]) -> str:
    """What could be written instead of an unknown name: the nearest, then all."""
    return f"Known: {', '.join(known) or 'none'}. {_close(name, known)}".rstrip()


def _close(name: str, known: Collection[str]) -> str:
    found = difflib.get_close_matches(name, list(known), 1)
    return f'Did you mean "{found[0]}"?' if found else ""
