"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def add_json(parser: "argparse._ActionsContainer") -> None:
    """``--json``: a list of objects in place of a table."""
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")


def add_without(parser: argparse.ArgumentParser) -> None:
    """``--without``: plugins to leave out."""
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="PLUGIN",
        help="do not load the plugin with this entry name (repeatable)",
    )


def add_study(parser: argparse.ArgumentParser, runs_option: str = "--out") -> None:
    """STUDY with ``--out`` and ``--storage``: which stored study is meant."""
    parser.add_argument("study", metavar="STUDY", help="a study's name, or its folder")
    add_runs(parser, runs_option)
    add_storage(parser)


def add_runs(parser: argparse.ArgumentParser, option: str) -> None:
    """The folder that holds the folders of studies."""
    parser.add_argument(
        option,
        dest="runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="folder that holds studies (default: ./runs)",
    )


def add_storage(parser: argparse.ArgumentParser) -> None:
    """``--storage``: a database other than the SQLite file in the study's folder."""
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database URL (default: the SQLite file in the study's folder)",
    )


def add_timeout(parser: argparse.ArgumentParser, what: str) -> None:
    """``--timeout``: wall time, read by `seconds_of`."""
    parser.add_argument("--timeout", metavar="TIME", help=f"{what}, e.g. 90s or 30m")


def at_least(least: int, value: int | None, option: str) -> int | None:
    """The value of an option that has a least one; None where it is not given.

    Raises:
        SpaceError: it is less.
    """
    from automl_rec.errors import SpaceError

    if value is not None and value < least:
        raise SpaceError(f"{option} must be at least {least}, got {value}. Raise it.")
    return value


def seconds_of(text: str | None, option: str = "--timeout") -> float | None:
    """The seconds of an option; None where it is not given.

    Raises:
        SpaceError: it is no duration above 0.
    """
    from automl_rec.errors import SpaceError
    from automl_rec.space.units import parse_seconds

    if text is None:
        return None
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else parse_seconds(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise SpaceError(f"{option} must be a duration, got {text!r}. Write 90s, 30m or 1h.")
    return seconds
