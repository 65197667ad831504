"""Units in a space: bytes and durations."""

import re

BYTES = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?([A-Za-z]+)")
_DURATION = re.compile(rf"(?:{_AMOUNT.pattern} ?)+")


def parse_bytes(text: str) -> float:
    """Bytes of a text such as ``4MB`` (10^6) or ``1 MiB`` (2^20).

    Raises:
        ValueError: it is no amount of bytes.
    """
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in BYTES:
        raise ValueError(f"{text!r} is no amount of bytes")
    return float(found[1]) * BYTES[found[2]]


def parse_seconds(text: str) -> float:
    """Seconds of a text such as ``90s``, ``3m`` or ``1h 30m``.

    Raises:
        ValueError: it is no duration.
    """
    parts = _AMOUNT.findall(text) if _DURATION.fullmatch(text) else []
    if not parts or any(unit not in SECONDS for _, unit in parts):
        raise ValueError(f"{text!r} is no duration")
    return sum(float(amount) * SECONDS[unit] for amount, unit in parts)
