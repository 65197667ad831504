"""Which column of a file plays which role."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
_CLICKS = {"click", "clicks", "clicked", "isclick", "clk"}


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
    found = _found(header, names, _USUAL_NAMES, where)
    _check_required(header, found, where)
    return found


def find_row_columns(
    header: Sequence[str], names: ColumnNames, where: str, *, timed: bool
) -> dict[str, str]:
    """Role -> column of labelled rows: the label, and user, item and time where there are any.

    Args:
        header: the columns of the file.
        names: those the user mapped.
        where: the file, for messages.
        timed: whether times are needed at all.

    Raises:
        DataError: a mapped column is missing, the label is not found, or a guess is ambiguous.
    """
    roles = ("user", "item", "time", "label") if timed else ("user", "item", "label")
    usual = {role: _USUAL_NAMES[role] for role in roles}
    found = _found(header, names, usual | {"label": _USUAL_NAMES["label"] | _CLICKS}, where)
    if "label" not in found:
        raise DataError(
            f"{where}: no column holds the label; the columns are {_listing(header)}. "
            "Map it with data: {columns: {label: NAME}}, or set header: false if the first line "
            "is a row."
        )
    _check_distinct(found, where)
    return found


def find_id(header: Sequence[str], role: str, where: str) -> str:
    """The id column of a feature file of ``role`` ``"user"`` or ``"item"``.

    Raises:
        DataError: none is found, or two are.
    """
    column = _guess(header, role, _USUAL_NAMES[role], where)
    if column is None:
        raise DataError(
            f"{where}: no column holds the {role} ids; the columns are {_listing(header)}. "
            f"Name it with data.{role}_features.id."
        )
    return column


def _found(
    header: Sequence[str], names: ColumnNames, usual: Mapping[str, set[str]], where: str
) -> dict[str, str]:
    found = {}
    for role in usual:
        mapped = getattr(names, role)
        column = _guess(header, role, usual[role], where) if mapped is None else mapped
        if column is None:
            continue
        if column not in header:
            raise DataError(
                f"{where}: there is no column {column!r} for data.columns.{role}; the columns are "
                f"{_listing(header)}. Correct data.columns.{role}."
            )
        found[role] = column
    return found


def _guess(header: Sequence[str], role: str, usual: set[str], where: str) -> str | None:
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
            f"{_listing(header)}. Map them with data: {{columns: {{{mapping}}}}}, and set "
            "header: false if the first line is an event."
        )
    _check_distinct(found, where)


def _check_distinct(found: Mapping[str, str], where: str) -> None:
    taken = sorted(found.values())
    twice = [name for name, after in pairwise(taken) if name == after]
    if twice:
        raise DataError(
            f"{where}: column {twice[0]!r} is mapped to two roles. Correct data.columns."
        )


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
