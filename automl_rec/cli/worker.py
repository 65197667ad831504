"""``automl-rec worker``: joins a study and runs trials of it, on any machine."""

import argparse
from pathlib import Path

from automl_rec.cli.options import Commands, add_study, add_without, at_least, seconds_of


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "worker", help="join a study from this or another machine, and run trials of it"
    )
    add_study(parser)
    parser.add_argument(
        "--space",
        type=Path,
        metavar="SPACE.yaml",
        help="this machine's copy of the space, where its data lie elsewhere",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="trials at once")
    parser.add_argument(
        "--drain",
        default="20s",
        metavar="TIME",
        help="how long trials may still run after SIGTERM (default: 20s)",
    )
    parser.add_argument("--json", action="store_true", help="print events as lines of JSON")
    add_without(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs trials, and shows how it goes."""
    from automl_rec.search.display import display
    from automl_rec.search.joining import join

    drain = seconds_of(arguments.drain, "--drain")
    assert drain is not None
    with display(as_json=arguments.json) as listener:
        join(
            arguments.study,
            storage=arguments.storage,
            out=arguments.runs,
            space=arguments.space,
            workers=at_least(1, arguments.workers, "--workers"),
            drain_seconds=drain,
            without=arguments.without,
            listeners=[listener],
        )
    return 0
