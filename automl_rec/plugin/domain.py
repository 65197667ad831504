"""Domains: the allowed values of one hyperparameter. They know no optimiser."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool
NOTHING: Mapping[str, tuple[Value, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Float:
    """Real numbers from ``low`` to ``high``, both included.

    Args:
        low: smallest allowed value.
        high: largest allowed value.
        default: the published default, or ours where the source has none.
        log: whether a search draws on a logarithmic scale; needs ``low > 0``.
        search: False fixes the hyperparameter at its default unless a space names it.
        only_if: hyperparameters of the same component and the values under which this one acts;
            elsewhere it is left out of the configuration.
    """

    low: float
    high: float
    default: float
    log: bool = False
    search: bool = True
    only_if: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: NOTHING)

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, log=self.log)

    def contains(self, value: object) -> bool:
        """Whether ``value`` is a number inside the range."""
        return _is_number(value) and self.low <= float(value) <= self.high  # type: ignore[arg-type]

    def encloses(self, other: "Domain") -> bool:
        """Whether every value of ``other`` is a value of this domain."""
        if isinstance(other, Float | Integer):
            return self.low <= other.low and other.high <= self.high
        return all(self.contains(value) for value in values_of(other))

    def describe(self) -> str:
        """The domain in one line, e.g. ``float 0.001 to 1 (log)``."""
        return f"float {self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Integer:
    """Whole numbers from ``low`` to ``high``, both included. See `Float` for the fields."""

    low: int
    high: int
    default: int
    log: bool = False
    search: bool = True
    only_if: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: NOTHING)

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, log=self.log)

    def contains(self, value: object) -> bool:
        """Whether ``value`` is a whole number inside the range."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def encloses(self, other: "Domain") -> bool:
        """Whether every value of ``other`` is a value of this domain."""
        if isinstance(other, Integer):
            return self.low <= other.low and other.high <= self.high
        if isinstance(other, Float):
            return False
        return all(self.contains(value) for value in values_of(other))

    def describe(self) -> str:
        """The domain in one line, e.g. ``integer 1 to 4``."""
        return f"integer {self.low} to {self.high}{' (log)' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few listed values; strings, numbers or booleans. See `Float` for the fields."""

    values: tuple[Value, ...]
    default: Value
    search: bool = True
    only_if: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: NOTHING)

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a choice must have at least one value")
        if len(set(map(_key, self.values))) != len(self.values):
            raise ValueError(f"the values of a choice must differ, got {self.values}")

    def contains(self, value: object) -> bool:
        """Whether ``value`` is listed; ``True`` is not ``1``, ``1`` is ``1.0``."""
        return _is_plain(value) and _key(value) in map(_key, self.values)

    def encloses(self, other: "Domain") -> bool:
        """Whether every value of ``other`` is a value of this domain."""
        if isinstance(other, Integer):
            return all(self.contains(value) for value in range(other.low, other.high + 1))
        if isinstance(other, Float):
            return False
        return all(self.contains(value) for value in values_of(other))

    def describe(self) -> str:
        """The domain in one line, e.g. ``one of mean, last``."""
        return "one of " + ", ".join(str(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Constant:
    """Exactly one value: what a scalar in a space makes of a domain."""

    value: Value
    only_if: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: NOTHING)

    @property
    def default(self) -> Value:
        """The value."""
        return self.value

    @property
    def search(self) -> bool:
        """False: there is nothing to search."""
        return False

    def contains(self, value: object) -> bool:
        """Whether ``value`` is the value."""
        return _is_plain(value) and _key(value) == _key(self.value)

    def encloses(self, other: "Domain") -> bool:
        """Whether every value of ``other`` is the value."""
        if isinstance(other, Float | Integer):
            return other.low == other.high and self.contains(other.low)
        return all(self.contains(value) for value in values_of(other))

    def describe(self) -> str:
        """The domain in one line."""
        return f"always {self.value}"


Domain: TypeAlias = Float | Integer | Choice | Constant


def values_of(domain: Choice | Constant) -> tuple[Value, ...]:
    """The values of a domain that lists them."""
    return domain.values if isinstance(domain, Choice) else (domain.value,)


def _check_range(low: float, high: float, *, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"a range must have finite low <= high, got {low} and {high}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range must start above 0, got {low}")


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # false of NaN; an integer may be larger


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _key(value: object) -> tuple[str, object]:
    """Tells True from 1, which are equal in Python, but not 1 from 1.0."""
    return ("bool" if isinstance(value, bool) else "plain", value)
