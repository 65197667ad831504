"""Every component that the installed plugins give, and what became of each plugin."""

import difflib
import importlib.metadata
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any, Literal

import pluggy

from automl_rec.errors import PluginError
from automl_rec.plugin import API, COMPRESSIONS, KINDS, Component, Domain, Kind, hooks

GROUP = "automl_rec"
TASKS = ("retrieval", "sequence", "ranking")
_HOOKS: dict[str, Kind] = {
    "register_models": "model",
    "register_embeddings": "embedding",
    "register_sparsities": "sparsity",
    "register_ranks": "rank",
}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_IMPLEMENTATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed distribution, loaded or not.

    Attributes:
        name: of the entry point.
        distribution: the installed distribution that declares it.
        version: of the distribution.
        state: ``ok``, ``blocked`` by the user, or ``broken``; only the first gives components.
        reason: why it is not ``ok``, and what to do; empty otherwise.
        components: all it registered.
    """

    name: str
    distribution: str
    version: str
    state: Literal["ok", "blocked", "broken"] = "ok"
    reason: str = ""
    components: tuple[Component, ...] = ()

    @property
    def title(self) -> str:
        """How messages name it: ``"models" (automl-rec 0.1.0)``."""
        return f'"{self.name}" ({self.distribution} {self.version})'

    @property
    def release(self) -> str:
        """Distribution and version: ``automl-rec 0.1.0``."""
        return f"{self.distribution} {self.version}"


class Registry:
    """Components by kind and name, each with the plugin that gave it.

    A component's name is its own, or ``distribution:name`` where two plugins claim the same.
    """

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._found = {kind: _by_name(kind, plugins) for kind in KINDS}

    @classmethod
    def discover(cls, *, without: Collection[str] = ()) -> "Registry":
        """The components of every installed plugin, by order of the plugins' names.

        A plugin that cannot be used is recorded with the reason, and the rest goes on. The
        environment variable ``AUTOML_REC_PLUGINS`` lists the only plugins to load;
        ``AUTOML_REC_STRICT_PLUGINS=1`` turns every broken plugin into an error.

        Args:
            without: plugins to leave out, by name or ``distribution:name``.

        Raises:
            PluginError: ``without`` or the environment names no installed plugin, or a plugin is
                broken and the environment asks for strictness.
        """
        entries = importlib.metadata.entry_points(group=GROUP)
        found = sorted(
            ((_declared(entry), entry) for entry in entries),
            key=lambda pair: (pair[0].name, pair[0].distribution),
        )
        blocked = _blocked([plugin for plugin, _ in found], without)
        clashes = _clashes([plugin for plugin, _ in found if plugin not in blocked])
        plugins = []
        for plugin, entry in found:
            reason = blocked.get(plugin, "")
            if reason:
                plugins.append(replace(plugin, state="blocked", reason=reason))
            elif plugin.name in clashes:
                plugins.append(replace(plugin, state="broken", reason=clashes[plugin.name]))
            else:
                plugins.append(_load(plugin, entry))
        registry = cls(plugins)
        if os.environ.get("AUTOML_REC_STRICT_PLUGINS") == "1":
            registry.check()
        return registry

    def component(self, kind: Kind, name: str) -> Component:
        """The component of a name, which may be qualified as ``distribution:name``.

        Raises:
            PluginError: none has it, or two plugins claim it.
        """
        return self._one(kind, name)[1]

    def components(self, kind: Kind) -> dict[str, Component]:
        """Name -> component, by order of name."""
        return {name: self.component(kind, name) for name in self._names(kind)}

    def canonical(self, kind: Kind, name: str) -> str:
        """The name by which configurations know a component: qualified only if it has to be.

        Raises:
            PluginError: none has it, or two plugins claim it.
        """
        plugin, component = self._one(kind, name)
        return _qualified(plugin, component, self._found[kind][component.name])

    def origin(self, kind: Kind, name: str) -> Plugin:
        """The plugin that gave a component.

        Raises:
            PluginError: none has it, or two plugins claim it.
        """
        return self._one(kind, name)[0]

    def neutral(self, kind: Kind) -> Component | None:
        """The component of a kind that leaves a model as it is; None where none is installed.

        Raises:
            PluginError: two plugins claim to have it.
        """
        found = [name for name, component in self.components(kind).items() if component.neutral]
        if len(found) > 1:
            owners = " and ".join(f"{n} of {self.origin(kind, n).release}" for n in found)
            raise PluginError(
                f"Only one {kind} component may be neutral, got {owners}. "
                f"Block one of their plugins with --without."
            )
        return self.component(kind, found[0]) if found else None

    def check(self) -> None:
        """Refuse what `discover` only records.

        Raises:
            PluginError: a plugin is broken, or two plugins claim one component.
        """
        faults = [plugin.reason for plugin in self.plugins if plugin.state == "broken"]
        faults += [
            _ambiguity(kind, name, [plugin for plugin, _ in owners])
            for kind in KINDS
            for name, owners in self._found[kind].items()
            if len(owners) > 1
        ]
        if faults:
            raise PluginError(" ".join(faults))

    def _one(self, kind: Kind, name: str) -> tuple[Plugin, Component]:
        distribution, _, bare = name.rpartition(":")
        owners = self._found[kind].get(bare, ())
        found = [(p, c) for p, c in owners if distribution in ("", p.distribution)]
        if not found:
            raise PluginError(self._missing(kind, name))
        if len(found) > 1:
            raise PluginError(_ambiguity(kind, bare, [plugin for plugin, _ in found]))
        return found[0]

    def _names(self, kind: Kind) -> list[str]:
        """The name of every component that a name can reach."""
        return sorted(
            _qualified(plugin, component, owners)
            for owners in self._found[kind].values()
            for plugin, component in owners
            if sum(plugin.distribution == other.distribution for other, _ in owners) == 1
        )

    def _missing(self, kind: Kind, name: str) -> str:
        names = self._names(kind)
        hint = "".join(f' Did you mean "{n}"?' for n in difflib.get_close_matches(name, names, 1))
        reasons = dict.fromkeys(p.reason for p in self.plugins if p.state == "broken")
        broken = "".join(f" {reason}" for reason in reasons)
        listed = ", ".join(names) or "none"
        return f'No {kind} component is named "{name}". Installed: {listed}.{hint}{broken}'


def _by_name(
    kind: Kind, plugins: Sequence[Plugin]
) -> dict[str, tuple[tuple[Plugin, Component], ...]]:
    """Name -> everyone who claims it."""
    found: dict[str, tuple[tuple[Plugin, Component], ...]] = {}
    for plugin in plugins:
        for component in plugin.components:
            if component.kind == kind:
                found[component.name] = (*found.get(component.name, ()), (plugin, component))
    return found


def _qualified(plugin: Plugin, component: Component, owners: Collection[object]) -> str:
    return component.name if len(owners) == 1 else f"{plugin.distribution}:{component.name}"


def _ambiguity(kind: Kind, name: str, owners: Sequence[Plugin]) -> str:
    given = " and by ".join(f"plugin {plugin.title}" for plugin in owners)
    ways = sorted({f"{plugin.distribution}:{name}" for plugin in owners})
    remedy = f"Write {' or '.join(ways)}" if len(ways) > 1 else "Block one with --without"
    return f'The {kind} component "{name}" is given by {given}. {remedy}, or uninstall one of them.'


def _declared(entry: importlib.metadata.EntryPoint) -> Plugin:
    distribution = entry.dist
    if distribution is None:
        return Plugin(entry.name, "unknown", "unknown")
    name, version = distribution.metadata["Name"], distribution.metadata["Version"]
    return Plugin(entry.name, name or "unknown", version or "unknown")


def _blocked(plugins: Sequence[Plugin], without: Collection[str]) -> dict[Plugin, str]:
    """Plugins to leave out -> the reason."""
    listed = os.environ.get("AUTOML_REC_PLUGINS")
    allowed = None if listed is None else [n.strip() for n in listed.split(",") if n.strip()]
    for where, names in (("--without", without), ("AUTOML_REC_PLUGINS", allowed or ())):
        _check_known(where, names, plugins)
    reasons = {}
    for plugin in plugins:
        if _is_named(plugin, without):
            reasons[plugin] = "Blocked with --without."
        elif allowed is not None and not _is_named(plugin, allowed):
            reasons[plugin] = "Blocked: the environment's AUTOML_REC_PLUGINS does not list it."
    return reasons


def _check_known(where: str, names: Collection[str], plugins: Sequence[Plugin]) -> None:
    for name in names:
        if not any(_is_named(plugin, [name]) for plugin in plugins):
            known = sorted({plugin.name for plugin in plugins})
            close = difflib.get_close_matches(name, known, 1)
            hint = "".join(f' Did you mean "{n}"?' for n in close)
            raise PluginError(
                f'{where} names the plugin "{name}", which is not installed. '
                f"Installed: {', '.join(known) or 'none'}.{hint}"
            )


def _is_named(plugin: Plugin, names: Collection[str]) -> bool:
    return plugin.name in names or f"{plugin.distribution}:{plugin.name}" in names


def _clashes(plugins: Sequence[Plugin]) -> dict[str, str]:
    """Names that more than one distribution declares -> the reason to refuse them."""
    counts = Counter(plugin.name for plugin in plugins)
    owners = {n: [p.release for p in plugins if p.name == n] for n, c in counts.items() if c > 1}
    return {
        name: f'Plugin entry "{name}" is declared by {" and by ".join(releases)}. '
        f"Uninstall one of them, or block one with --without DISTRIBUTION:{name}."
        for name, releases in owners.items()
    }


def _load(plugin: Plugin, entry: importlib.metadata.EntryPoint) -> Plugin:
    try:
        with redirect_stdout(sys.stderr):
            module = entry.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - others' code may raise anything
        told = str(error) or type(error).__name__
        reason = f"could not be imported: {told}. Install its requirements"
        return _broken(plugin, reason)
    try:
        _check_version(module)
        return replace(plugin, components=_components(module))
    except PluginError as error:
        return _broken(plugin, str(error))


def _broken(plugin: Plugin, reason: str) -> Plugin:
    text = f"Plugin {plugin.title} {reason}, or block it with --without {plugin.name}."
    return replace(plugin, state="broken", reason=text)


def _check_version(module: object) -> None:
    stated = getattr(module, "AUTOML_REC_API", API)
    if not (isinstance(stated, tuple) and len(stated) == 2 and all(type(n) is int for n in stated)):
        raise PluginError(
            f"must state AUTOML_REC_API as (major, minor), got {stated!r}. Correct it there"
        )
    if stated[0] != API[0]:
        raise PluginError(
            f"is written for version {stated[0]}.{stated[1]} of the plugin interface, this is "
            f"{API[0]}.{API[1]}. Install a release of it for this automl-rec"
        )


def _components(module: Any) -> tuple[Component, ...]:
    """What the hooks of one plugin return, each checked.

    A manager for each plugin keeps its hooks apart: their results have an owner, and one that
    raises ends no other's.

    Raises:
        PluginError: what the plugin does wrong and the remedy, without a full stop.
    """
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        told = str(error).splitlines()[-1].strip()
        raise PluginError(
            f"does not fit this automl-rec: {told}. Correct the hook, or install an automl-rec "
            f"that has it"
        ) from error
    if not manager.get_hookcallers(module):
        raise PluginError("implements no hook. Mark its functions with automl_rec.plugin.hookimpl")
    found = [c for hook, kind in _HOOKS.items() for c in _returned(manager, hook, kind)]
    repeated = [pair for pair, n in Counter((c.kind, c.name) for c in found).items() if n > 1]
    for kind, name in repeated:
        raise PluginError(f'registers the {kind} component "{name}" twice. Rename one')
    return tuple(found)


def _returned(manager: pluggy.PluginManager, hook: str, kind: Kind) -> list[Component]:
    try:
        with redirect_stdout(sys.stderr):
            results = getattr(manager.hook, hook)()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"raised {type(error).__name__} in {hook}: {error}. Correct it there"
        ) from error
    for returned in results:
        if not isinstance(returned, list | tuple):
            raise PluginError(
                f"must return a list from {hook}, got {type(returned).__name__}. Correct it there"
            )
        for component in returned:
            _check(component, hook, kind)
    return [component for returned in results for component in returned]


def _check(component: object, hook: str, kind: Kind) -> None:
    if not isinstance(component, Component):
        raise PluginError(
            f"must return Components from {hook}, got {type(component).__name__}. Correct it there"
        )
    for fault in _faults(component, kind):
        raise PluginError(f'registers the {kind} component "{component.name}" wrongly: {fault}')


def _faults(component: Component, kind: Kind) -> Iterator[str]:
    """What is wrong with a description, each with its remedy."""
    if component.kind != kind:
        yield f"its kind is {component.kind}. Register it with the hook of that kind"
    if not _NAME.fullmatch(component.name):
        yield "its name must be lower-case words joined by hyphens. Rename it"
    for name in ("summary", "source"):
        if not getattr(component, name).strip():
            yield f"its {name} is empty. Write one"
    if not _IMPLEMENTATION.fullmatch(component.implementation):
        yield f'its implementation is "{component.implementation}". Write "module:Class"'
    yield from _kind_faults(component)
    yield from _domain_faults(component)


def _kind_faults(component: Component) -> Iterator[str]:
    if component.kind == "model" and not set(component.tasks) & set(TASKS):
        yield f"its tasks are {component.tasks}. Give some of {', '.join(TASKS)}"
    if component.kind != "model" and component.baseline:
        yield "only a model can be a baseline. Remove baseline"
    if component.kind == "model" and component.neutral:
        yield "a model cannot be neutral. Remove neutral"
    if not component.compressible <= COMPRESSIONS:
        yield f"only {', '.join(sorted(COMPRESSIONS))} can be compressible. Correct it"
    for other, _ in component.excludes:
        if other not in KINDS:
            yield f'it excludes a component of the unknown kind "{other}". Correct it'


def _domain_faults(component: Component) -> Iterator[str]:
    twice = sorted(set(component.hyperparameters) & set(component.training))
    if twice:
        yield f"{twice[0]} is a hyperparameter and one of training. Rename one"
    earlier: dict[str, Domain] = {}
    for name, domain in component.domains.items():
        if not name.isidentifier():
            yield f'"{name}" cannot be the name of a hyperparameter. Rename it'
        if not domain.contains(domain.default):
            yield f"the default {domain.default} of {name} is outside it. Correct one"
        yield from _condition_faults(name, domain, earlier)
        earlier[name] = domain


def _condition_faults(name: str, domain: Domain, earlier: dict[str, Domain]) -> Iterator[str]:
    for other, values in domain.only_if.items():
        if other not in earlier:
            yield (
                f"{name} depends on {other}, which is not declared before it. Declare {other} first"
            )
        elif not all(earlier[other].contains(value) for value in values):
            yield f"{name} depends on a value that {other} cannot have. Correct it"
