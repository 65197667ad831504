"""Measured numbers as people read them."""

from collections.abc import Sequence


def amount(value: float, unit: str) -> str:
    """A value with its unit, e.g. ``29.4 kB``, ``0.31 ms``, ``0.0721``."""
    if unit == "B":
        return _scaled(value, ("B", "kB", "MB", "GB", "TB"))
    if unit == "multiply-adds":
        return _scaled(value, ("", "k", "M", "G", "T"))
    return f"{value:.4f}" if not unit else f"{value:.3g} {unit}"


def _scaled(value: float, units: Sequence[str]) -> str:
    for unit in units:
        if abs(value) < 1000 or unit == units[-1]:
            digits = f"{value:.0f}" if unit == units[0] else f"{value:.3g}"
            return f"{digits} {unit}".rstrip()
        value /= 1000
    raise AssertionError("the last unit takes every value")
