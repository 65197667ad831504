"""``automl-rec train``: one configuration, trained and exported."""

import argparse
from pathlib import Path

from automl_rec.cli.options import Commands, add_timeout, seconds_of


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
    add_timeout(parser, "wall time after which the best epoch so far is exported")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="keep the training in this file, and go on from it if it is there",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains, exports and prints what was measured."""
    from automl_rec.cli.shipped import print_shipped
    from automl_rec.search.shipping import train

    shipped = train(
        arguments.configuration,
        arguments.out,
        confirm=arguments.confirm,
        seconds=seconds_of(arguments.timeout),
        checkpoint=arguments.checkpoint,
    )
    print_shipped(shipped)
    if shipped.stopped == "time":
        print(f"Stopped by --timeout; {_continuation(arguments.checkpoint)}.")
    return 0


def _continuation(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "the best epoch so far is exported, and without --checkpoint nothing is kept"
    if not checkpoint.exists():
        return (
            f"nothing was validated in time, so {checkpoint} is not there: give a longer --timeout"
        )
    return f"the same command goes on from {checkpoint}"
