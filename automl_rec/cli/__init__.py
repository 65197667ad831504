"""The command line: one module a command; each parses, calls, prints."""

import argparse
import os
import sys
from collections.abc import Sequence

from automl_rec import __version__
from automl_rec.cli import (
    check,
    dashboard,
    data,
    export,
    front,
    plugins,
    recommend,
    search,
    train,
)
from automl_rec.errors import AutomlRecError

COMMANDS = (search, check, plugins, front, export, train, recommend, dashboard, data)
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 failed, 2 bad input."""
    parsed = _parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except AutomlRecError as error:
        print(f"automl-rec: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("automl-rec: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has left; Python must not complain while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="automl-rec",
        description="Finds, for your own recommender data, the models worth shipping.",
    )
    parser.add_argument("--version", action="version", version=f"automl-rec {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
