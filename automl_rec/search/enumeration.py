"""Configurations without a sampler: all of a finite space in order, or one at random."""

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from automl_rec.errors import Infeasible
from automl_rec.plugin import Domain, Float, Integer, Value
from automl_rec.plugin.domain import values_of
from automl_rec.space.configuration import Configuration

if TYPE_CHECKING:
    from automl_rec.space.space import Space


def configurations(
    space: "Space", fixed: Mapping[str, Value] = MappingProxyType({})
) -> Iterator[Configuration]:
    """Every configuration of a finite space once, in a fixed order.

    Args:
        space: what may be chosen.
        fixed: dotted name -> value of what is chosen already.

    Raises:
        ValueError: a choice has no end of values.
    """
    route: list[int] | None = []
    seen: set[str] = set()
    while route is not None:
        walk = _Walk(route, fixed)
        try:
            found = space.resolve(walk.choose)
        except Infeasible:
            pass
        else:
            if found.digest not in seen:
                seen.add(found.digest)
                yield found
        route = walk.successor()


def draw(
    space: "Space",
    generator: np.random.Generator,
    fixed: Mapping[str, Value] = MappingProxyType({}),
) -> Configuration:
    """A configuration with every choice drawn uniformly, on the domain's own scale.

    Args:
        space: what may be chosen.
        generator: of the draws.
        fixed: dotted name -> value of what is chosen already.

    Raises:
        Infeasible: the components drawn exclude each other.
    """
    return space.resolve(
        lambda name, domain: fixed[name] if name in fixed else _uniform(domain, generator)
    )


class _Walk:
    """One descent through the choices: the route given, then first values."""

    def __init__(self, route: list[int], fixed: Mapping[str, Value]) -> None:
        self._fixed = fixed
        self._route, self._taken, self._sizes = route, list[int](), list[int]()

    def choose(self, name: str, domain: Domain) -> Value:
        if name in self._fixed:
            return self._fixed[name]
        values = _listed(domain)
        depth = len(self._taken)
        position = self._route[depth] if depth < len(self._route) else 0
        self._taken.append(position)
        self._sizes.append(len(values))
        return values[position]

    def successor(self) -> list[int] | None:
        """The next route in lexicographic order, or None after the last."""
        for depth in reversed(range(len(self._taken))):
            if self._taken[depth] + 1 < self._sizes[depth]:
                return [*self._taken[:depth], self._taken[depth] + 1]
        return None


def _listed(domain: Domain) -> tuple[Value, ...] | range:
    match domain:
        case Integer():
            return range(domain.low, domain.high + 1)
        case Float():
            if domain.low == domain.high:
                return (domain.low,)
            raise ValueError("a space with real numbers cannot be listed")
        case _:
            return values_of(domain)


def _uniform(domain: Domain, generator: np.random.Generator) -> Value:
    match domain:
        case Float():
            return _real(domain.low, domain.high, generator, log=domain.log)
        case Integer() if domain.log:
            # Each whole number has the share of the logarithmic line that rounds to it.
            value = _real(domain.low - 0.5, domain.high + 0.5, generator, log=True)
            return min(max(round(value), domain.low), domain.high)
        case Integer():
            return int(generator.integers(domain.low, domain.high + 1))
        case _:
            values = values_of(domain)
            return values[generator.integers(len(values))]


def _real(low: float, high: float, generator: np.random.Generator, *, log: bool) -> float:
    if not log:
        return float(generator.uniform(low, high))
    drawn = math.exp(generator.uniform(math.log(low), math.log(high)))
    return min(max(drawn, low), high)
