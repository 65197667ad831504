"""What a space names must act: the hyperparameters that decide it are fixed so that it does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from automl_rec.errors import SpaceError
from automl_rec.plugin import Constant, Domain, Value
from automl_rec.space.narrowing import declared

Wheres = Mapping[str, str]


def acting(
    title: str, own: Mapping[str, Domain], narrowed: Mapping[str, Domain], wheres: Wheres
) -> dict[str, Domain]:
    """Domains of the hyperparameters that a space leaves fixed, changed so that those named act.

    Args:
        title: kind and name of the component, for messages.
        own: what the component declares.
        narrowed: the domains that the space names.
        wheres: file and line of each of these names.

    Returns:
        Only those that change: ``{"sized_by": Constant("ratio")}`` where ``ratio`` is named and
        acts under that alone.

    Raises:
        SpaceError: two are named that never act together, or one that another one named rules out.
    """
    changed: dict[str, Domain] = {}
    named = dict(wheres)
    while (found := _idle(own, {**narrowed, **changed}, named)) is not None:
        name, other, allowed = found
        if other in narrowed:
            _refuse_ruled_out(title, name, other, allowed, narrowed[other], named[name])
        for rival in (n for n in named if other in own[n].only_if):
            allowed = tuple(value for value in allowed if value in own[rival].only_if[other])
            if not allowed:
                pair = sorted((name, rival), key=list(named).index)
                _refuse_exclusive(title, pair, other, own, named)
        changed[other] = Constant(allowed[0], own[other].only_if)
        named[other] = named[name]
    return changed


def _idle(
    own: Mapping[str, Domain], domains: Mapping[str, Domain], named: Wheres
) -> tuple[str, str, tuple[Value, ...]] | None:
    """A named hyperparameter that can never act, what rules it out, and where it would act."""
    for name, other, allowed in _conditions(own, named):
        domain = domains[other] if other in domains else declared(own[other])
        if not any(domain.contains(value) for value in allowed):
            return name, other, allowed
    return None


def _conditions(
    own: Mapping[str, Domain], named: Wheres
) -> Iterator[tuple[str, str, tuple[Value, ...]]]:
    for name in named:
        for other, allowed in own[name].only_if.items():
            yield name, other, allowed


def _refuse_ruled_out(
    title: str, name: str, other: str, allowed: tuple[Value, ...], domain: Domain, where: str
) -> NoReturn:
    raise SpaceError(
        f"{where}: {title} has {name} act only where {other} is {_listed(allowed)}, but {other} is "
        f"{domain.describe()} here. Remove {name}, or write {other}: {allowed[0]}."
    )


def _refuse_exclusive(
    title: str, names: Sequence[str], other: str, own: Mapping[str, Domain], wheres: Wheres
) -> NoReturn:
    first, second = names
    one, two = (own[name].only_if[other] for name in names)
    raise SpaceError(
        f"{wheres[second]}: {title} cannot have both {first} and {second}: {first} acts where "
        f"{other} is {_listed(one)}, {second} where it is {_listed(two)}. Remove one of them, or "
        f"write {other}: [{one[0]}, {two[0]}]."
    )


def _listed(values: tuple[Value, ...]) -> str:
    return " or ".join(str(value) for value in values)
