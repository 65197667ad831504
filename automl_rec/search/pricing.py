"""Prices as a search uses them: bounds broken, and costs that dominance may compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl_rec.objectives.amount import amount
from automl_rec.objectives.objective import Objective
from automl_rec.space.configuration import Configuration

if TYPE_CHECKING:
    from automl_rec.plugin import Interval
    from automl_rec.price import Price

COSTS = (
    "bytes",
    "bytes_tables",
    "bytes_dense",
    "bytes_packed",
    "bytes_resident",
    "bytes_training",
    "operations",
)


@dataclass(frozen=True, slots=True)
class Priced:
    """What is known of a configuration before it is trained.

    Attributes:
        costs: objective name -> interval, whether or not the study has that objective.
        violations: objective name -> how far even the low end lies beyond the bound.
    """

    costs: "Mapping[str, Interval]"
    violations: Mapping[str, float]

    @property
    def refused(self) -> bool:
        """Whether a bound is broken whatever training does."""
        return any(violation > 0 for violation in self.violations.values())

    @property
    def low(self) -> dict[str, float]:
        """Objective name -> the least it can be."""
        return {name: interval.low for name, interval in self.costs.items()}

    @property
    def high(self) -> dict[str, float]:
        """Objective name -> the most it can be."""
        return {name: interval.high for name, interval in self.costs.items()}


class Pricing:
    """Prices configurations, each once.

    Args:
        price: configuration -> price; raises Infeasible.
        objectives: those of the study.
    """

    def __init__(
        self, price: "Callable[[Configuration], Price]", objectives: Sequence[Objective]
    ) -> None:
        self._price, self._objectives = price, tuple(objectives)
        self._known: dict[str, Priced] = {}

    def __call__(self, configuration: Configuration) -> Priced:
        """The price of a configuration.

        Raises:
            Infeasible: its parts cannot stand together.
        """
        digest = configuration.digest
        if digest not in self._known:
            self._known[digest] = self._priced(configuration)
        return self._known[digest]

    def _priced(self, configuration: Configuration) -> Priced:
        found = self._price(configuration)
        costs = {name: getattr(found, name) for name in COSTS}
        bounded = [o for o in self._objectives if o.priced and o.bound is not None]
        return Priced(costs, {o.name: o.violation(_best(costs[o.name], o)) for o in bounded})


def bounds_broken(priced: Priced, objectives: Sequence[Objective]) -> str:
    """Which bounds a refused price breaks, and by how much."""
    parts = (
        f"{o.name} at least {amount(priced.low[o.name], o.unit)}, "
        f"{amount(priced.violations[o.name], o.unit)} beyond the bound"
        for o in objectives
        if priced.violations.get(o.name, 0.0) > 0
    )
    return f"Refused on price: {'; '.join(parts)}."


def _best(interval: "Interval", objective: Objective) -> float:
    return interval.low if objective.direction == "minimize" else interval.high
