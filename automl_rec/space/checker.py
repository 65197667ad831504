"""From a file to a checked space."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from automl_rec.data.request import Task
from automl_rec.errors import SpaceError
from automl_rec.plugin import Kind
from automl_rec.registry import Registry
from automl_rec.space.combining import ORDER
from automl_rec.space.component_sections import Entry, neutral_components, read_components
from automl_rec.space.data_section import read_data
from automl_rec.space.fields import section
from automl_rec.space.reader import Node, load, parse
from automl_rec.space.sections import read_budget, read_objectives, read_resources, read_search
from automl_rec.space.space import Budget, Resources, SearchSettings, Space
from automl_rec.space.tasks import solves

SECTIONS = ("data", "objectives", "budget", "search", "resources", *ORDER)
_REQUIRED = {
    "data": "data: {source: movielens-small}",
    "objectives": "objectives: {ndcg@10: maximize, bytes: minimize}",
}
_MEASURED = {"retrieval": "make lists", "ranking": "judge single events"}


def read_space(path: Path, registry: Registry) -> Space:
    """The space of a file.

    Raises:
        SpaceError: file, line, what was required, what was received.
    """
    return check(load(path), path, registry)


def check(text: str, path: Path, registry: Registry) -> Space:
    """The space of a text.

    Args:
        text: YAML.
        path: names the text in messages; relative paths in it start from its folder.
        registry: the installed components.

    Raises:
        SpaceError: file, line, what was required, what was received.
    """
    root = parse(text, str(path))
    nodes: dict[str, Node] = section(root, dict.fromkeys(SECTIONS, lambda node: node))
    for name, example in _REQUIRED.items():
        if name not in nodes:
            raise SpaceError(f"{path}: the section {name} is missing. Write for example {example}.")
    entries = _entries(nodes, str(path), registry)
    data = read_data(nodes["data"], path.parent)
    _check_task(entries["model"], data.task, registry)
    space = Space(
        data=data,
        objectives=read_objectives(nodes["objectives"]),
        budget=read_budget(nodes["budget"]) if "budget" in nodes else Budget(),
        search=read_search(nodes["search"]) if "search" in nodes else SearchSettings(),
        resources=read_resources(nodes["resources"]) if "resources" in nodes else Resources(),
        components={k: {e.name: e.domains for e in found} for k, found in entries.items()},
        descriptions={k: {e.name: e.component for e in found} for k, found in entries.items()},
        text=text,
        path=str(path),
    )
    _check_compatible(space, entries)
    return space


def _entries(nodes: Mapping[str, Node], path: str, registry: Registry) -> dict[Kind, list[Entry]]:
    if "model" not in nodes:
        installed = ", ".join(registry.components("model")) or "none"
        raise SpaceError(f"{path}: the section model is missing. Installed: {installed}.")
    return {
        kind: read_components(nodes[kind], kind, registry)
        if kind in nodes
        else neutral_components(kind, registry, path)
        for kind in ORDER
    }


def _check_task(models: Sequence[Entry], task: Task, registry: Registry) -> None:
    """Refuse models that the data's task has no measure for."""
    for model in models:
        if not solves(model.component, task):
            installed = registry.components("model").items()
            able = [name for name, component in installed if solves(component, task)]
            other = next(name for name in get_args(Task) if name != task)
            raise SpaceError(
                f"{model.where}: data.task {task} needs models that {_MEASURED[task]}, but "
                f"{model.name} can only {_MEASURED[other]}. Choose among "
                f"{', '.join(able) or 'none installed'}, or write data.task: {other}."
            )


def _check_compatible(space: Space, entries: Mapping[Kind, Sequence[Entry]]) -> None:
    """Refuse a component that everything it could stand beside excludes."""
    for kind, found in entries.items():
        for entry in found if _could_act(space, kind) else ():
            if not any(space.combining.combinations({kind: entry.name})):
                raise SpaceError(
                    f"{entry.where}: {kind} {entry.name} can stand beside nothing in this space: "
                    f"{_reason(space, kind, entry.name)}. Remove one of them, or add others."
                )


def _could_act(space: Space, kind: Kind) -> bool:
    models = space.descriptions["model"].values()
    return kind == "model" or any(kind in model.compressible for model in models)


def _reason(space: Space, kind: Kind, name: str) -> str:
    """An exclusion that a component meets; itself the excluded one where there is such."""
    others = [(k, n) for k, named in space.components.items() for n in named if k != kind]
    reasons = (space.combining.exclusion({kind: name, k: n}) for k, n in others)
    return next((reason for reason in reasons if reason is not None), "its partners exclude others")
