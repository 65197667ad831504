"""Configurations: one point of a space, as plain data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl_rec.errors import SpaceError
from automl_rec.plugin import KINDS, Component, Kind, Value
from automl_rec.registry import Registry
from automl_rec.space.counting import holds


@dataclass(frozen=True, slots=True)
class Chosen:
    """One component with the value of every hyperparameter that acts."""

    name: str
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A model with the compressions that act on it; None where none can act.

    Two configurations that train and serve the same are equal and have the same digest.
    """

    model: Chosen
    embedding: Chosen | None = None
    rank: Chosen | None = None
    sparsity: Chosen | None = None

    def chosen(self, kind: Kind) -> Chosen | None:
        """The component of a kind."""
        selected: Chosen | None = getattr(self, kind)
        return selected

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain data: kind -> component name -> hyperparameters; absent kinds left out."""
        parts = ((kind, self.chosen(kind)) for kind in KINDS)
        return {kind: {p.name: dict(p.hyperparameters)} for kind, p in parts if p}

    @classmethod
    def from_dict(cls, data: object) -> "Configuration":
        """The configuration that `as_dict` described.

        Raises:
            SpaceError: the data have another form.
        """
        given = data if isinstance(data, Mapping) else {}
        parts = {kind: _chosen(kind, given[kind]) for kind in KINDS if kind in given}
        if set(given) - set(KINDS) or "model" not in parts:
            raise SpaceError(
                f"A configuration must have model and may have embedding, rank and sparsity, got "
                f"{_shown(', '.join(sorted(map(str, given)))) or 'nothing'}. "
                f"Write them as kind: {{name: {{...}}}}."
            )
        return cls(**parts)

    @property
    def text(self) -> str:
        """Canonical JSON: the same for equal configurations, so 1.0 is written as 1."""
        parts = {
            kind: {
                name: {h: _canonical(v) for h, v in values.items()} for name, values in c.items()
            }
            for kind, c in self.as_dict().items()
        }
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def _canonical(value: Value) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _chosen(kind: Kind, data: object) -> Chosen:
    if isinstance(data, Mapping) and len(data) == 1:
        name, values = next(iter(data.items()))
        if isinstance(name, str) and isinstance(values, Mapping):
            return Chosen(name, dict(values))
    raise SpaceError(
        f"A configuration's {kind} must be {{name: {{hyperparameter: value}}}}, got "
        f"{_shown(repr(data))}. Write one component with its hyperparameters."
    )


def require_allowed(configuration: Configuration, registry: Registry) -> None:
    """Refuses what no space of these components could have chosen.

    A configuration that comes from a file may say anything: a width of 10^12, a choice that no
    component has.

    Raises:
        PluginError: a component is not installed.
        SpaceError: a hyperparameter is missing, unknown, or outside its domain.
    """
    for kind in KINDS:
        chosen = configuration.chosen(kind)
        if chosen is not None:
            _require_inside(chosen, registry.component(kind, chosen.name))


def _require_inside(chosen: Chosen, component: Component) -> None:
    values, domains = chosen.hyperparameters, component.domains
    title = f"{component.kind} {chosen.name}"
    for name, value in values.items():
        if name not in domains or not domains[name].contains(value):
            required = domains[name].describe() if name in domains else "left out"
            raise SpaceError(
                f"{title}: {_shown(name)} must be {required}, got {_shown(str(value))}. "
                f"Keep to what the component allows."
            )
    needed = (name for name in component.hyperparameters if holds(domains[name], values))
    missing = [name for name in needed if name not in values]
    if missing:
        raise SpaceError(f"{title}: {', '.join(missing)} must be given. Add a value for each.")


def _shown(text: str) -> str:
    """A text as messages show it, not too long."""
    return text if len(text) <= 60 else f"{text[:57]}..."
