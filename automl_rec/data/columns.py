"""Which column of a file plays which role."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from automl_rec.errors import DataError

# Compared in lower case without punctuation. Only names that can hardly mean anything else.
_USUAL_NAMES = {
    "user": {"user", "userid", "uid", "reviewerid", "visitorid", "customerid"},
    "item": {"item", "itemid", "iid", "movieid", "productid", "articleid", "asin", "trackid"},
    "time": {"time", "timestamp", "ts", "datetime", "date", "unixreviewtime"},
    "label": {"label", "rating", "ratings", "stars"},
    "domain": {"domain"},
    "behaviour": {"behaviour", "behavior"},
}


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The name of each role's column in the file, None where it is to be guessed."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    label: str | None = None
    domain: str | None = None
    behaviour: str | None = None


def find_columns(header: Sequence[str], names: ColumnNames, where: str) -> dict[str, str]:
    """Role -> column, for every role that has one.

    Args:
        header: the columns of the file.
        names: those the user mapped.
        where: the file, for messages.

    Raises:
        DataError: a mapped column is missing, user or item is not found, or a guess is ambiguous.
    """
    found = {}
    for role in (f.name for f in fields(names)):
        mapped = getattr(names, role)
        column = _guess(header, role, where) if mapped is None else mapped
        if column is None:
            continue
        if column not in header:
            raise DataError(
                f"{where}: there is no column {column!r} for data.columns.{role}; the columns are "
                f"{_listing(header)}. Correct data.columns.{role}."
            )
        found[role] = column
    _check_required(header, found, where)
    return found


def find_id(header: Sequence[str], role: str, where: str) -> str:
    """The id column of a feature file of ``role`` ``"user"`` or ``"item"``.

    Raises:
        DataError: none is found, or two are.
    """
    column = _guess(header, role, where)
    if column is None:
        raise DataError(
            f"{where}: no column holds the {role} ids; the columns are {_listing(header)}. "
            f"Name it with data.{role}_features.id."
        )
    return column


def _guess(header: Sequence[str], role: str, where: str) -> str | None:
    usual = _USUAL_NAMES[role]
    hits = [name for name in header if re.sub(r"[^a-z0-9]", "", name.lower()) in usual]
    if len(hits) > 1:
        raise DataError(
            f"{where}: columns {_listing(hits)} could each be the {role}. "
            f"Choose one with data.columns.{role}."
        )
    return hits[0] if hits else None


def _check_required(header: Sequence[str], found: dict[str, str], where: str) -> None:
    missing = [role for role in ("user", "item") if role not in found]
    if missing:
        mapping = ", ".join(f"{role}: NAME" for role in missing)
        raise DataError(
            f"{where}: no column holds the {' and the '.join(missing)}; the columns are "
            f"{_listing(header)}. Map them with data: {{columns: {{{mapping}}}}}, or add a header "
            "line if the file has none."
        )
    taken = sorted(found.values())
    twice = [name for name, after in pairwise(taken) if name == after]
    if twice:
        raise DataError(
            f"{where}: column {twice[0]!r} is mapped to two roles. Correct data.columns."
        )


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
