"""``automl-rec predict``: judgements of single events from an exported artefact."""

import argparse
from pathlib import Path

from automl_rec.cli.options import Commands, add_json

FORMATS = ("csv", "tsv", "parquet", "inter")


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("predict", help="judge the rows of a file by an exported artefact")
    parser.add_argument("artefact", type=Path, metavar="ARTEFACT", help="an exported folder")
    parser.add_argument(
        "--rows",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV, TSV or Parquet with the columns the model was trained on",
    )
    parser.add_argument("--format", choices=FORMATS, help="of the file (default: by its extension)")
    parser.add_argument(
        "--separator", metavar="CHARACTER", help="between fields (default: the format's)"
    )
    parser.add_argument(
        "--no-header",
        action="store_true",
        help="the first line of text is a row; columns are c0, c1 and so on",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write CSV here (default: print it)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints or writes the number of each row of the file, from 1, and its probability."""
    from automl_rec.cli.output import print_json
    from automl_rec.errors import ExportError
    from automl_rec.serving import Ranker, load

    loaded = load(arguments.artefact)
    if not isinstance(loaded, Ranker):
        raise ExportError(
            f"{arguments.artefact}: this artefact makes lists and judges no single events. "
            f"Use automl-rec recommend {arguments.artefact} --users USER."
        )
    shape = arguments.format, arguments.separator
    rows = loaded.read(arguments.rows, *shape, header=not arguments.no_header)
    found = loaded.predict(rows, str(arguments.rows))
    found = found.with_row_index("row", offset=1)
    if arguments.json:
        print_json(found.to_dicts())
    if arguments.out is not None:
        _write(arguments.out, found.write_csv())
    elif not arguments.json:
        print(found.write_csv(), end="")
    return 0


def _write(path: Path, text: str) -> None:
    from automl_rec.errors import ExportError

    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ExportError(
            f"{path}: the probabilities could not be written: {error.strerror}. "
            f"Choose another file with --out."
        ) from error
