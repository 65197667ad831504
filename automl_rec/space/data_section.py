"""The ``data`` section of a space."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from automl_rec.data.builtin import list_sources
from automl_rec.data.columns import ColumnNames
from automl_rec.data.request import (
    DataRequest,
    FeatureFile,
    FeatureKind,
    FieldKind,
    Format,
    Kept,
    SplitKind,
    SplitRequest,
    Task,
)
from automl_rec.errors import DataError, SpaceError
from automl_rec.space.fields import (
    Reader,
    flag,
    mapping,
    number,
    one_of,
    pair,
    refuse,
    section,
    text,
    whole,
)
from automl_rec.space.reader import Node

T = TypeVar("T")
FILES = ("path", "train", "validation", "test")
COLUMNS: Mapping[str, Reader] = {
    "user": text,
    "item": text,
    "time": text,
    "label": text,
    "domain": text,
    "behaviour": text,
}
SPLIT: Mapping[str, Reader] = {
    "kind": one_of(get_args(SplitKind)),
    "validation": number,
    "test": number,
    "holdout": number,
}


def read_data(node: Node, folder: Path) -> DataRequest:
    """What a space asks of the data.

    Args:
        node: the section.
        folder: that of the space, from which relative paths start.

    Raises:
        SpaceError: a field is unknown or wrong, or fields contradict each other.
    """
    try:
        return DataRequest(**section(node, data_fields(folder)))
    except DataError as error:
        raise SpaceError(f"{node.where}: {error}") from error


def data_fields(folder: Path) -> dict[str, Reader]:
    """The reader of every field of the section."""

    def path(node: Node) -> str:
        try:
            return str(folder / Path(text(node)).expanduser())
        except RuntimeError:
            refuse(node, "a path", "It begins with the name of no user: write the path in full.")

    features = feature_fields(path)
    return {
        "source": one_of([source.name for source in list_sources()]),
        "path": path,
        "train": path,
        "validation": path,
        "test": path,
        "format": one_of(get_args(Format)),
        "separator": text,
        "columns": lambda node: ColumnNames(**section(node, COLUMNS)),
        "threshold": number,
        "label_range": pair(number),
        "split": _split,
        "k_core": whole(0),
        "duplicates": one_of(get_args(Kept)),
        "user_features": lambda node: _feature_file(node, features),
        "item_features": lambda node: _feature_file(node, features),
        "seed": whole(0),
        "task": one_of(get_args(Task)),
        "fields": lambda node: _kinds(node, get_args(FieldKind)),
        "min_count": whole(1),
        "header": flag,
    }


def written_data(request: DataRequest) -> dict[str, Any]:
    """The section that asks for a request, as plain data; file names are absolute."""
    written: dict[str, Any] = _written(request)
    return written


def feature_fields(path: Reader) -> dict[str, Reader]:
    """The reader of every field of a file of features."""
    return {
        "path": path,
        "id": text,
        "columns": lambda node: _kinds(node, get_args(FeatureKind)),
        "format": one_of(get_args(Format)),
    }


def _split(node: Node) -> SplitRequest:
    if isinstance(node.content, str):
        return SplitRequest(kind=SPLIT["kind"](node))
    return _built(node, SplitRequest, section(node, SPLIT))


def _feature_file(node: Node, readers: Mapping[str, Reader]) -> FeatureFile:
    given = section(node, readers)
    for required in ("path", "columns"):
        if required not in given:
            raise SpaceError(
                f"{node.where}: {node.name} must have {required}, got {node.shown()}. "
                f"Write {{path: FILE, columns: {{NAME: categorical}}}}."
            )
    return _built(node, FeatureFile, given)


def _kinds(node: Node, kinds: Collection[str]) -> dict[str, str]:
    """Column -> kind."""
    kind = one_of(kinds)
    return {name: kind(entry) for name, entry in mapping(node).items()}


def _built(node: Node, build: Callable[..., T], given: Mapping[str, Any]) -> T:
    """A value whose own checks are reported at its line."""
    try:
        return build(**given)
    except DataError as error:
        raise SpaceError(f"{node.where}: {error}") from error


def _written(value: Any) -> Any:
    """A dataclass as a mapping without what is left at its default; paths made absolute."""
    if not is_dataclass(value):
        return list(value) if isinstance(value, tuple) else value
    plain = {}
    for entry in fields(value):
        content = getattr(value, entry.name)
        if entry.name in FILES and isinstance(content, str):
            content = str(Path(content).absolute())
        if content != entry.default and (written := _written(content)) not in (None, {}):
            plain[entry.name] = written
    return plain
