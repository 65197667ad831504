"""Why something failed, in one line that fits a table."""

import re
import traceback
from collections import Counter
from collections.abc import Sequence

from automl_rec.errors import AutomlRecError

LONGEST = 500
NUMBER = re.compile(r"\d[\d.,]*(e[+-]?\d+)?")


def reason_of(error: BaseException) -> str:
    """Type, message and place of an error; our own errors say enough without a place."""
    text = shorten(f"{type(error).__name__}: {error}")
    if isinstance(error, AutomlRecError):
        return text
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = f" (at {frame.f_globals.get('__name__', '?')}:{line})"
    return text + place


def shorten(text: str) -> str:
    """The text on one line of limited length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 4] + " ..."


def commonest(reasons: Sequence[str]) -> tuple[str, int] | None:
    """The first of the reasons that are given most often, and how often; numbers may differ."""
    if not reasons:
        return None
    kinds = [NUMBER.sub("", reason) for reason in reasons]
    kind, times = Counter(kinds).most_common(1)[0]
    return reasons[kinds.index(kind)], times
