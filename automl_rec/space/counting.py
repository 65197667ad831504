"""How many assignments conditional hyperparameters have."""

from collections.abc import Iterable, Mapping

from automl_rec.plugin import Choice, Constant, Domain, Float, Integer, Value


def holds(domain: Domain, values: Mapping[str, Value]) -> bool:
    """Whether a hyperparameter acts, given the values of those declared before it."""
    return all(
        name in values and any(Constant(value).contains(values[name]) for value in allowed)
        for name, allowed in domain.only_if.items()
    )


def assignments(domains: Mapping[str, Domain]) -> int | None:
    """How many different assignments hyperparameters have; None where a real number is open."""
    asked: dict[str, list[Value]] = {}
    for domain in domains.values():
        for name, allowed in domain.only_if.items():
            asked.setdefault(name, []).extend(allowed)
    return _count(list(domains.items()), {}, asked)


def _count(
    rest: list[tuple[str, Domain]], values: dict[str, Value], asked: Mapping[str, list[Value]]
) -> int | None:
    """Assignments of the rest, given the earlier values that a condition asks about.

    Values that no condition asks about lead to the same rest, which is counted once for all.
    """
    if not rest:
        return 1
    (name, domain), later = rest[0], rest[1:]
    if not holds(domain, values):
        return _count(later, values, asked)
    size = _size(domain)
    if size is None:
        return None
    special = _among(domain, asked.get(name, []))
    counts = [_count(later, {**values, name: value}, asked) for value in special]
    if size > len(special):
        others = _count(later, values, asked)
        counts.append(None if others is None else others * (size - len(special)))
    return _sum(counts)


def _size(domain: Domain) -> int | None:
    match domain:
        case Float():
            return 1 if domain.low == domain.high else None
        case Integer():
            return domain.high - domain.low + 1
        case Constant():
            return 1
        case Choice():
            return len(domain.values)


def _among(domain: Domain, values: Iterable[Value]) -> list[Value]:
    """The different ones of the values that the domain contains."""
    found: list[Value] = []
    for value in values:
        if domain.contains(value) and not any(Constant(f).contains(value) for f in found):
            found.append(value)
    return found


def _sum(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
