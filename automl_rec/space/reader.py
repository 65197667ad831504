"""YAML text -> nodes that know their line and their dotted name; and plain data -> YAML text."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import yaml

from automl_rec.errors import SpaceError

Content: TypeAlias = "bool | int | float | str | list[Node] | dict[str, Node] | None"
_LARGEST_BYTES = 256 * 1024
_LARGEST_NODES = 10_000
_DEEPEST = 20
_NOWHERE: Mapping[str, str] = MappingProxyType({})
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_TAGS: dict[type, str] = {
    type(None): "tag:yaml.org,2002:null",
    bool: "tag:yaml.org,2002:bool",
    int: "tag:yaml.org,2002:int",
    float: "tag:yaml.org,2002:float",
    str: "tag:yaml.org,2002:str",
}
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, Content] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".inf": math.inf,
    "-.inf": -math.inf,
    ".nan": math.nan,
}


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file.

    Attributes:
        content: plain, or nodes where it is a list or a mapping.
        name: dotted, e.g. ``data.split.kind``; empty for the whole file.
        where: file and line of the value.
        keys: file and line of each key of a mapping.
    """

    content: Content
    name: str
    where: str
    keys: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)

    def shown(self) -> str:
        """The value as messages show it, on one line and not too long."""
        text = _shown(self.content)
        return text if len(text) <= 60 else f"{text[:57]}..."


def load(path: Path) -> str:
    """The text of a file.

    Raises:
        SpaceError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise SpaceError(f"{path}: the file cannot be read: {reason}. Check its path.") from error
    if len(data) > _LARGEST_BYTES:
        raise SpaceError(
            f"{path}: a space must be at most {_LARGEST_BYTES // 1024} kB, got "
            f"{len(data) // 1024} kB. Check that this is the file you meant."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SpaceError(f"{path}:{line}: the text is not UTF-8. Save it as UTF-8.") from error


def parse(text: str, path: str) -> Node:
    """The nodes of a YAML text: mappings, lists, text, numbers, true, false and null.

    Plain words follow YAML 1.2, so ``no`` is a text and ``1e-3`` a number; tags are refused.

    Raises:
        SpaceError: the text is not YAML, not a mapping, repeats a key, or is out of proportion.
    """
    try:
        root = _Loader(text, path).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise SpaceError(f"{_position(path, error)}: {_problem(error)}.") from error
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise SpaceError(f"{path}: {reason}. Remove what is not text.") from error
    except (ValueError, OverflowError) as error:
        raise SpaceError(f"{path}: an escape in a text is wrong: {error}. Correct it.") from error
    if root is None:
        raise SpaceError(f"{path}: the file is empty. Write at least data, objectives and model.")
    node = _Reading(path).node(root, "")
    if not isinstance(node.content, dict):
        raise SpaceError(
            f"{node.where}: a space must be a mapping of sections, got {node.shown()}. "
            f"Write for example data: {{source: movielens-small}}."
        )
    return node


def write(content: Mapping[str, Any]) -> str:
    """The YAML of plain data, which `parse` reads as these data."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that `parse` would take for something else without quotes."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _TAGS[type(_scalar(value, "plain"))]
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # Line ends of other kinds survive as escapes alone.
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


class _Loader(yaml.SafeLoader):
    """Composes nodes only; leaves the meaning of plain words to us, and stops at a depth."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text)
        self._path, self._depth = path, 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return "plain" if kind is yaml.ScalarNode and implicit[0] else "quoted"

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise SpaceError(
                f"{self._path}:{line}: values are nested deeper than {_DEEPEST} levels. "
                f"Flatten them."
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reading:
    """Turns composed nodes into ours; counts them, since an alias may repeat a whole tree."""

    def __init__(self, path: str) -> None:
        self._path, self._count = path, 0

    def node(self, raw: yaml.Node, name: str, depth: int = 0) -> Node:
        where = self._where(raw)
        self._count += 1
        if self._count > _LARGEST_NODES or depth > _DEEPEST:
            raise SpaceError(
                f"{where}: a space must hold at most {_LARGEST_NODES} values in {_DEEPEST} "
                f"levels, aliases counted as what they stand for. Write fewer."
            )
        if raw.tag not in ("plain", "quoted"):
            raise SpaceError(
                f"{where}: tags such as {raw.tag} have no meaning in a space. Remove it."
            )
        match raw:
            case yaml.MappingNode():
                return self._mapping(raw, name, depth)
            case yaml.SequenceNode():
                return Node([self.node(n, name, depth + 1) for n in raw.value], name, where)
            case _:
                return Node(_scalar(self._text(raw), raw.tag), name, where)

    def _text(self, raw: yaml.Node) -> str:
        """The characters of a scalar, which escapes can make such as no file can hold."""
        text = str(raw.value)
        if "\0" in text or _SURROGATE.search(text):
            raise SpaceError(
                f"{self._where(raw)}: a text holds a character that no file name and no cell can "
                f"hold, written as \\0 or \\ud800 to \\udfff. Remove it."
            )
        return text

    def _mapping(self, raw: yaml.MappingNode, name: str, depth: int) -> Node:
        content: dict[str, Node] = {}
        keys: dict[str, str] = {}
        for raw_key, raw_value in raw.value:
            key, where = self._key(raw_key), self._where(raw_key)
            if key in content:
                raise SpaceError(
                    f"{where}: {key} stands twice, first in line {keys[key].rpartition(':')[2]}. "
                    f"Remove one."
                )
            keys[key] = where
            content[key] = self.node(raw_value, f"{name}.{key}" if name else key, depth + 1)
        return Node(content, name, self._where(raw), keys)

    def _key(self, raw: yaml.Node) -> str:
        if isinstance(raw, yaml.ScalarNode) and raw.tag in ("plain", "quoted") and raw.value:
            return self._text(raw)
        raise SpaceError(f"{self._where(raw)}: a key must be a word. Write name: value.")

    def _where(self, raw: yaml.Node) -> str:
        return f"{self._path}:{raw.start_mark.line + 1}"


def _scalar(text: str, tag: str) -> Content:
    if tag == "quoted":
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _position(path: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return path if mark is None else f"{path}:{mark.line + 1}"


def _problem(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    reason = "; ".join(parts).replace("\n", " ")
    if "\\t" in reason:
        return f"{reason}. Indent with spaces, not with tabs"
    return f"the YAML cannot be read: {reason}. Correct the line, or the one before it"


def _shown(content: Content) -> str:
    match content:
        case None:
            return "nothing"
        case bool():
            return str(content).lower()
        case list():
            return f"[{', '.join(_shown(node.content) for node in content)}]"
        case dict():
            pairs = (f"{key}: {_shown(node.content)}" for key, node in content.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            return str(content)
