"""``automl-rec export``: a trial of the front becomes an artefact."""

import argparse
from pathlib import Path

from automl_rec.cli.options import Commands, add_study


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("export", help="export a trial as an artefact, measured on test")
    add_study(parser, "--runs")
    parser.add_argument(
        "--pick",
        default="knee",
        metavar="WHICH",
        help="knee, best, max-bytes=1MB (or another cost), or a trial's number (default: knee)",
    )
    parser.add_argument(
        "--confirm",
        type=int,
        default=0,
        metavar="K",
        help="train K times more with other seeds, and export their mean beside it",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exports and prints what was measured."""
    from automl_rec.cli.shipped import print_shipped
    from automl_rec.search.study import Study

    study = Study.open(arguments.study, storage=arguments.storage, out=arguments.runs)
    shipped = study.export(arguments.out, pick=arguments.pick, confirm=arguments.confirm)
    print_shipped(shipped)
    return 0
