"""The sections of a space that name components: model, embedding, rank, sparsity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from automl_rec.errors import PluginError, SpaceError
from automl_rec.plugin import Component, Constant, Domain, Kind
from automl_rec.registry import Registry
from automl_rec.space.acting import acting
from automl_rec.space.fields import mapping, refuse, suggestion
from automl_rec.space.narrowing import declared, narrow
from automl_rec.space.reader import Node


@dataclass(frozen=True, slots=True)
class Entry:
    """A component that the space holds.

    Attributes:
        name: by which configurations know it.
        component: as its plugin describes it.
        domains: of every hyperparameter, narrowed by the space.
        where: file and line that name it.
    """

    name: str
    component: Component
    domains: Mapping[str, Domain]
    where: str


def read_components(node: Node, kind: Kind, registry: Registry) -> list[Entry]:
    """The components of a section: a name, a list of names, or a mapping of names to domains.

    Raises:
        SpaceError: a component or hyperparameter is unknown, named twice, or outside its domain,
            or a hyperparameter is named that cannot act.
    """
    entries: dict[str, Entry] = {}
    for name, where, domains in _named(node):
        entry = _entry(kind, name, where, domains, registry)
        if entry.name in entries:
            raise SpaceError(f"{where}: {node.name} names {entry.name} twice. Remove one.")
        entries[entry.name] = entry
    if not entries:
        installed = ", ".join(registry.components(kind)) or "none"
        refuse(node, "at least one component", f"Installed: {installed}.")
    return list(entries.values())


def neutral_components(kind: Kind, registry: Registry, where: str) -> list[Entry]:
    """What a section that is left out stands for: what changes nothing, at its defaults.

    Raises:
        SpaceError: two are installed.
    """
    try:
        registry.neutral(kind)
    except PluginError as error:
        raise SpaceError(f"{where}: {kind} is left out. {error}") from error
    installed = registry.components(kind).items()
    return [Entry(n, c, _fixed(c), where) for n, c in installed if c.neutral]


def _named(node: Node) -> Iterator[tuple[str, str, Node | None]]:
    """Each component's name, file and line, and domains where they are given."""
    match node.content:
        case str(name) if name:
            yield name, node.where, None
        case list(items):
            for item in items:
                yield from _named(item)
        case dict(entries):
            for name, entry in entries.items():
                yield name, node.keys[name], entry
        case None:
            return
        case _:
            refuse(node, "names of components", "Write for example [NAME, NAME].")


def _entry(kind: Kind, name: str, where: str, node: Node | None, registry: Registry) -> Entry:
    try:
        component = registry.component(kind, name)
        canonical = registry.canonical(kind, name)
    except PluginError as error:
        fact = str(error)
        raise SpaceError(f"{where}: {fact[0].lower()}{fact[1:]}") from error
    given = {} if node is None else mapping(node)
    for hyperparameter in given:
        if node is not None and hyperparameter not in component.domains:
            raise SpaceError(
                f"{node.keys[hyperparameter]}: {kind} {name} has no hyperparameter "
                f'"{hyperparameter}". {suggestion(hyperparameter, component.domains)}'
            )
    narrowed = {h: narrow(entry, component.domains[h]) for h, entry in given.items()}
    wheres = {h: node.keys[h] for h in given} if node is not None else {}
    named = narrowed | acting(f"{kind} {name}", component.domains, narrowed, wheres)
    domains = {h: named.get(h, domain) for h, domain in _declared(component).items()}
    return Entry(canonical, component, domains, where)


def _declared(component: Component) -> dict[str, Domain]:
    return {name: declared(domain) for name, domain in component.domains.items()}


def _fixed(component: Component) -> dict[str, Domain]:
    return {n: Constant(d.default, d.only_if) for n, d in component.domains.items()}
