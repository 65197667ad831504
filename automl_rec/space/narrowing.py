"""A hyperparameter's domain in a space: inside the one its component declares."""

from collections.abc import Sequence
from dataclasses import replace

from automl_rec.errors import SpaceError
from automl_rec.plugin import Choice, Constant, Domain, Float, Integer, Value
from automl_rec.plugin.domain import values_of
from automl_rec.space.fields import flag, number, pair, plain, refuse, section, whole
from automl_rec.space.reader import Node

RANGE = {"int": pair(whole()), "float": pair(number), "log": flag}


def declared(own: Domain) -> Domain:
    """The domain of a hyperparameter that the space does not name."""
    return _simplest(own) if own.search else Constant(own.default, own.only_if)


def narrow(node: Node, own: Domain) -> Domain:
    """The domain of a hyperparameter that the space names.

    Args:
        node: nothing takes the component's domain as it is; one value fixes it; a list is a
            choice; ``{int: [low, high]}`` and ``{float: [low, high]}`` are ranges, logarithmic if
            ``log`` says so or, where it says nothing, if the component's own range is.
        own: what the component declares.

    Raises:
        SpaceError: the node has another form, or lies outside the component's domain.
    """
    asked = _asked(node, own)
    if not own.encloses(asked):
        raise SpaceError(
            f"{node.where}: {node.name} must lie inside {own.describe()}, got "
            f"{asked.value if isinstance(asked, Constant) else asked.describe()}. "
            f"Keep to what the component allows."
        )
    return _simplest(asked)


def _asked(node: Node, own: Domain) -> Domain:
    match node.content:
        case None:
            return own if isinstance(own, Constant) else replace(own, search=True)
        case dict():
            return _range(node, own)
        case list(items):
            return _choice(node, [_typed(plain(item), own) for item in items], own)
        case _:
            return Constant(_typed(plain(node), own), own.only_if)


def _range(node: Node, own: Domain) -> Domain:
    given = section(node, RANGE)
    if ("int" in given) == ("float" in given):
        refuse(node, "a domain", "Write {int: [low, high]} or {float: [low, high]}.")
    low, high = given.get("int") or given["float"]
    log = given.get("log", getattr(own, "log", False) and low > 0)
    if low > high or (log and low <= 0):
        above = " above 0" if log else ""
        refuse(node, f"a range from low to high{above}", "Correct the bounds.")
    default = min(max(own.default, low), high) if _is_number(own.default) else low
    if "int" in given:
        return Integer(low, high, round(default), log=log, only_if=own.only_if)
    return Float(low, high, float(default), log=log, only_if=own.only_if)


def _choice(node: Node, values: Sequence[Value], own: Domain) -> Domain:
    if not values:
        refuse(node, "a list of values", "Write at least one.")
    try:
        choice = Choice(tuple(values), values[0], only_if=own.only_if)
    except ValueError:
        refuse(node, "a list of different values", "Remove the repeated one.")
    if choice.contains(own.default):
        return replace(choice, default=own.default)
    return replace(choice, default=_nearest(own.default, values))


def _nearest(default: Value, values: Sequence[Value]) -> Value:
    """The listed value that is nearest to a component's default; the first without numbers."""
    numbers = [value for value in values if _is_number(value)]
    if _is_number(default) and numbers:
        return min(numbers, key=lambda value: abs(float(value) - float(default)))
    return values[0]


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _typed(value: Value, own: Domain) -> Value:
    """A value in the type of the component's domain: 1 is 1.0 where real numbers are meant."""
    if isinstance(own, Choice | Constant) and own.contains(value):
        return next(v for v in values_of(own) if Constant(v).contains(value))
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if isinstance(own, Float) and is_whole else value


def _simplest(domain: Domain) -> Domain:
    """A constant where only one value is left."""
    match domain:
        case Float() | Integer():
            single = domain.low == domain.high
        case Choice():
            single = len(domain.values) == 1
        case Constant():
            single = True
    return Constant(domain.default, domain.only_if) if single else domain
