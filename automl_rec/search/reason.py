"""Why something failed, in one line that fits a table."""

import traceback

from automl_rec.errors import AutomlRecError

LONGEST = 500


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
