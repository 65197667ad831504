"""The command line: one module a command; each parses, calls, prints."""

import argparse
import os
import sys
from collections.abc import Sequence

from automl_rec import __version__
from automl_rec.cli.check import add as add_check
from automl_rec.cli.dashboard import add as add_dashboard
from automl_rec.cli.data import add as add_data
from automl_rec.cli.export import add as add_export
from automl_rec.cli.front import add as add_front
from automl_rec.cli.plugins import add as add_plugins
from automl_rec.cli.predict import add as add_predict
from automl_rec.cli.recommend import add as add_recommend
from automl_rec.cli.search import add as add_search
from automl_rec.cli.studies import add as add_studies
from automl_rec.cli.train import add as add_train
from automl_rec.cli.worker import add as add_worker
from automl_rec.errors import AutomlRecError

COMMANDS = (
    add_search,
    add_worker,
    add_check,
    add_plugins,
    add_studies,
    add_front,
    add_export,
    add_train,
    add_recommend,
    add_predict,
    add_dashboard,
    add_data,
)
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 failed, 2 bad input."""
    _shorten_spins()
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


def _shorten_spins() -> None:
    """Trainings of this process wait as its workers' do; said before anything imports torch."""
    from automl_rec.search.local import SHORT_SPIN

    for name, value in SHORT_SPIN.items():
        os.environ.setdefault(name, value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="automl-rec",
        description="Finds, for your own recommender data, the models worth shipping.",
    )
    parser.add_argument("--version", action="version", version=f"automl-rec {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return parser
