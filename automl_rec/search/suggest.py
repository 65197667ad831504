"""The only translation of a space's domains to Optuna's distributions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from automl_rec.plugin import Choice, Domain, Float, Integer, Value
from automl_rec.plugin.domain import values_of
from automl_rec.space.configuration import Configuration

if TYPE_CHECKING:
    from automl_rec.space.space import Space


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configuration lies in a space, in Optuna's terms: dotted name -> value."""

    values: dict[str, Value]
    distributions: dict[str, BaseDistribution]


def suggest(space: "Space", trial: Trial) -> Configuration:
    """The configuration that an Optuna trial draws from a space.

    Raises:
        Infeasible: the parts drawn cannot stand together.
    """
    return space.resolve(lambda name, domain: _draw(trial, name, domain))


def place(space: "Space", configuration: Configuration) -> Place | None:
    """Where a configuration lies in a space; None where it lies outside."""
    found = Place({}, {})

    def choose(name: str, domain: Domain) -> Value:
        value = _value_of(configuration, name)
        if not domain.contains(value):
            raise _OutsideError
        found.values[name] = value
        found.distributions[name] = distribution(domain)
        return value

    try:
        resolved = space.resolve(choose)
    except _OutsideError:
        return None
    return found if resolved == configuration else None


def distribution(domain: Domain) -> BaseDistribution:
    """Optuna's distribution over the values of a domain."""
    match domain:
        case Float():
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case Integer():
            return IntDistribution(domain.low, domain.high, log=domain.log)
        case _:
            return CategoricalDistribution(values_of(domain))


class _OutsideError(Exception):
    """A configuration that the space does not hold."""


def _draw(trial: Trial, name: str, domain: Domain) -> Value:
    match domain:
        case Float():
            return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
        case Integer():
            return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
        case Choice():
            value: Any = trial.suggest_categorical(name, domain.values)
            return _listed(domain, value)
        case _:
            return domain.value


def _listed(domain: Choice, value: Any) -> Value:
    """The value as the domain lists it: Optuna may hand back an equal one of another type."""
    return next(listed for listed in domain.values if listed is value or listed == value)


def _value_of(configuration: Configuration, name: str) -> Value:
    """What stands in a configuration under ``kind`` or ``kind.component.hyperparameter``."""
    kind, _, rest = name.partition(".")
    chosen = configuration.chosen(kind)  # type: ignore[arg-type]
    if chosen is None:
        raise _OutsideError
    if not rest:
        return chosen.name
    component, _, hyperparameter = rest.rpartition(".")
    if component != chosen.name or hyperparameter not in chosen.hyperparameters:
        raise _OutsideError
    return chosen.hyperparameters[hyperparameter]
