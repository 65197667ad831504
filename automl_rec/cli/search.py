"""``automl-rec search``: runs a study, or goes on with it."""

import argparse
from pathlib import Path

from automl_rec.cli.options import (
    Commands,
    add_runs,
    add_storage,
    add_timeout,
    add_without,
    at_least,
    seconds_of,
)


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("search", help="search a space; the same command goes on")
    parser.add_argument("space", type=Path, metavar="SPACE.yaml")
    parser.add_argument("--study", metavar="NAME", help="name of the study (default: the file's)")
    parser.add_argument("--trials", type=int, metavar="N", help="trials in all")
    add_timeout(parser, "wall time in all")
    parser.add_argument("--workers", type=int, metavar="N", help="trials at once")
    parser.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="where trials run"
    )
    parser.add_argument("--address", metavar="HOST:PORT|auto", help="of a Ray cluster that runs")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="the same trials in every run, whatever their timing; slower with several workers",
    )
    parser.add_argument("--json", action="store_true", help="print events as lines of JSON")
    add_runs(parser, "--out")
    add_storage(parser)
    add_without(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Searches, and shows how it goes and what came of it."""
    from automl_rec.search.display import display
    from automl_rec.search.study import run as search

    with display(as_json=arguments.json) as listener:
        search(
            arguments.space,
            out=arguments.runs,
            name=arguments.study,
            storage=arguments.storage,
            trials=at_least(1, arguments.trials, "--trials"),
            seconds=seconds_of(arguments.timeout),
            workers=at_least(1, arguments.workers, "--workers"),
            seed=at_least(0, arguments.seed, "--seed"),
            without=arguments.without,
            deterministic=arguments.deterministic,
            engine=arguments.engine,
            address=arguments.address,
            listeners=[listener],
        )
    return 0
