"""Which of some points are on a front of quality and a cost."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar


class Judged(Protocol):
    """Something whose quality on validation is known."""

    @property
    def validation(self) -> float:
        """Fronts are decided by it."""


Point = TypeVar("Point", bound=Judged)


def on_front(points: Iterable[Point], cost: Callable[[Point], float | None]) -> list[Point]:
    """Those of known cost that no other one equals at less cost or betters at no more."""
    known = [(point, spent) for point in points if (spent := cost(point)) is not None]
    return [
        point
        for point, spent in known
        if not any(
            least <= spent
            and other.validation >= point.validation
            and (least < spent or other.validation > point.validation)
            for other, least in known
        )
    ]
