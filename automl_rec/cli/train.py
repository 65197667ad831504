"""``automl-rec train``: one configuration, trained and exported."""

import argparse
from pathlib import Path

from automl_rec.cli.options import Commands


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("train", help="train and export one configuration")
    parser.add_argument(
        "configuration",
        type=Path,
        metavar="CONFIGURATION.yaml",
        help="a space of one configuration, such as an artefact's configuration.yaml",
    )
    parser.add_argument("--confirm", type=int, default=0, metavar="K", help="as of export")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains, exports and prints what was measured."""
    from automl_rec.cli.shipped import print_shipped
    from automl_rec.search.shipping import train

    print_shipped(train(arguments.configuration, arguments.out, confirm=arguments.confirm))
    return 0
