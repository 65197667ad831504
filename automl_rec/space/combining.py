"""Which components can stand together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from automl_rec.plugin import Component, Kind

ORDER: tuple[Kind, ...] = ("model", "embedding", "rank", "sparsity")
"""The order in which components are chosen, which is the order in which they act."""


@dataclass(frozen=True, slots=True)
class Combining:
    """The components of a space, by kind and name, and their rules."""

    descriptions: Mapping[Kind, Mapping[str, Component]]

    def acts(self, kind: Kind, names: Mapping[Kind, str]) -> bool:
        """Whether a component of a kind can act on the model among ``names``."""
        if kind == "model":
            return True
        model = self.descriptions["model"][names["model"]]
        return kind in model.compressible and bool(self.descriptions[kind])

    def exclusion(self, names: Mapping[Kind, str]) -> str | None:
        """Why these components cannot stand together; None if they can."""
        described = [self.descriptions[kind][name] for kind, name in names.items()]
        for one in described:
            for other in described:
                reason = _reason(one, other)
                if reason is not None:
                    return f"{one.kind} {one.name} excludes {other.kind} {other.name}: {reason}"
        return None

    def compatible(self, kind: Kind, names: Mapping[Kind, str]) -> list[str]:
        """The components of a kind that can stand beside ``names``."""
        return [n for n in self.descriptions[kind] if self.exclusion({**names, kind: n}) is None]

    def combinations(self, fixed: Mapping[Kind, str]) -> Iterator[dict[Kind, str]]:
        """Every set of components, one of each kind that acts, that holds those ``fixed``."""
        yield from self._completed({}, ORDER, fixed)

    def count(self, sizes: Mapping[tuple[Kind, str], int]) -> int:
        """Combinations, each weighted by the product of its components' sizes."""
        return self._count({}, ORDER, sizes, self._entangled())

    def _completed(
        self, names: dict[Kind, str], rest: tuple[Kind, ...], fixed: Mapping[Kind, str]
    ) -> Iterator[dict[Kind, str]]:
        if not rest:
            yield names
            return
        kind, later = rest[0], rest[1:]
        if not self.acts(kind, names):
            yield from self._completed(names, later, fixed) if kind not in fixed else ()
            return
        for name in self.compatible(kind, names):
            if fixed.get(kind, name) == name:
                yield from self._completed({**names, kind: name}, later, fixed)

    def _count(
        self,
        names: dict[Kind, str],
        rest: tuple[Kind, ...],
        sizes: Mapping[tuple[Kind, str], int],
        entangled: set[tuple[Kind, str]],
    ) -> int:
        """As `count`; components without exclusions have equal completions, counted once."""
        if not rest:
            return 1
        kind, later = rest[0], rest[1:]
        if not self.acts(kind, names):
            return self._count(names, later, sizes, entangled)
        alike: dict[object, list[str]] = {}
        for name in self.compatible(kind, names):
            own = self.descriptions[kind][name]
            free = ("", own.compressible, bool(own.training))
            alike.setdefault(name if (kind, name) in entangled else free, []).append(name)
        return sum(
            sum(sizes[kind, name] for name in group)
            * self._count({**names, kind: group[0]}, later, sizes, entangled)
            for group in alike.values()
        )

    def _entangled(self) -> set[tuple[Kind, str]]:
        """Components that exclude another, or are excluded."""
        named = [(k, n, c) for k, found in self.descriptions.items() for n, c in found.items()]
        excluded = {pair for _, _, component in named for pair in component.excludes}
        return {(k, n) for k, n, c in named if c.excludes or (c.kind, c.name) in excluded}


def _reason(one: Component, other: Component) -> str | None:
    """Why one excludes the other; None if it does not."""
    if one.in_training and other.kind == "model" and not other.training:
        return "it acts while a model trains, but this one is solved in closed form"
    return one.excludes.get((other.kind, other.name))
