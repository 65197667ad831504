"""Values for a component's hyperparameters, to be tested with."""

from collections.abc import Mapping

from automl_rec.plugin import Choice, Component, Domain, Float, Integer, Value

Settings = Mapping[str, Value]


def settings_of(component: Component, **fixed: Value) -> dict[str, Value]:
    """Defaults but for ``fixed``; hyperparameters that do not act under these are left out.

    Raises:
        ValueError: a fixed value is outside its domain, or its hyperparameter does not act.
    """
    values: dict[str, Value] = {}
    for name, domain in component.hyperparameters.items():
        if _acts(domain, values):
            values[name] = fixed.get(name, domain.default)
            if not domain.contains(values[name]):
                raise ValueError(f"{name} must be {domain.describe()}, got {values[name]!r}")
    if unused := fixed.keys() - values.keys():
        raise ValueError(f"{component.name} has no {', '.join(sorted(unused))} under {values}")
    return values


def variants(component: Component, *, ends: bool = False) -> list[dict[str, Value]]:
    """The defaults, then one hyperparameter after the other at its other values.

    A value brings the hyperparameters that act under it alone, and their values, with it.

    Args:
        component: whose hyperparameters.
        ends: whether ranges are tried at both ends, as choices of numbers always are; else only
            listed choices are.
    """
    found = [settings_of(component)]
    for base in found:  # grows while it is read: what a choice brings is varied as well
        for name in base:
            for varied in _varied(component, name, base, ends=ends):
                if varied not in found:
                    found.append(varied)
    return found


def _varied(
    component: Component, name: str, base: Settings, *, ends: bool
) -> list[dict[str, Value]]:
    """The defaults with other values of one hyperparameter and what it needs to act."""
    domain = component.hyperparameters[name]
    values: tuple[Value, ...] = ()
    if isinstance(domain, Choice):
        values = _telling(domain)
    elif ends and isinstance(domain, Float | Integer):
        values = (domain.low, domain.high)
    needed = {other: base[other] for other in _conditions(component, name)}
    return [settings_of(component, **(needed | {name: value})) for value in values]


def _telling(domain: Choice) -> tuple[Value, ...]:
    """All values of a choice, but of more than two numbers the least and the largest alone."""
    numbers = [v for v in domain.values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < max(len(domain.values), 3):
        return domain.values
    return min(numbers), max(numbers)


def _conditions(component: Component, name: str) -> set[str]:
    """The hyperparameters that decide whether one acts, and those that decide whether they do."""
    direct = set(component.hyperparameters[name].only_if)
    return direct.union(*(_conditions(component, other) for other in direct))


def _acts(domain: Domain, values: Settings) -> bool:
    return all(values.get(other) in allowed for other, allowed in domain.only_if.items())
