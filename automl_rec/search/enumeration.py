"""All configurations of a finite space, one after the other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from automl_rec.errors import Infeasible
from automl_rec.plugin import Domain, Float, Integer, Value
from automl_rec.plugin.domain import values_of
from automl_rec.space.configuration import Configuration

if TYPE_CHECKING:
    from automl_rec.space.space import Space


def configurations(space: "Space") -> Iterator[Configuration]:
    """Every configuration of a finite space once, in a fixed order.

    Raises:
        ValueError: a choice has no end of values.
    """
    route: list[int] | None = []
    seen: set[str] = set()
    while route is not None:
        walk = _Walk(route)
        try:
            found = space.resolve(walk.choose)
        except Infeasible:
            pass
        else:
            if found.digest not in seen:
                seen.add(found.digest)
                yield found
        route = walk.successor()


class _Walk:
    """One descent through the choices: the route given, then first values."""

    def __init__(self, route: list[int]) -> None:
        self._route, self._taken, self._sizes = route, list[int](), list[int]()

    def choose(self, _name: str, domain: Domain) -> Value:
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
