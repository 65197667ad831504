"""``automl-rec recommend``: lists from an exported artefact."""

import argparse
from pathlib import Path

from automl_rec.cli.options import Commands, add_json


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("recommend", help="recommend items from an exported artefact")
    parser.add_argument("artefact", type=Path, metavar="ARTEFACT", help="an exported folder")
    parser.add_argument(
        "--users", nargs="+", metavar="USER", help="user ids, or @FILE with one id a line"
    )
    parser.add_argument("--k", type=int, default=10, help="items a user (default: 10)")
    add_json(parser)
    parser.add_argument("--csv", action="store_true", help="print CSV")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints user, rank, item and score."""
    from automl_rec.cli.output import print_csv, print_json, print_table
    from automl_rec.errors import ExportError
    from automl_rec.serving import Recommender, load

    loaded = load(arguments.artefact)
    if not isinstance(loaded, Recommender):
        raise ExportError(
            f"{arguments.artefact}: this artefact judges single events and makes no lists. "
            f"Use automl-rec predict {arguments.artefact} --rows FILE."
        )
    users = None if arguments.users is None else _users(arguments.users)
    found = loaded.recommend(users, arguments.k)
    rows = found.to_dicts()
    if arguments.json:
        print_json(rows)
    elif arguments.csv:
        print_csv(rows)
    else:
        print_table([row | {"score": f"{row['score']:.4g}"} for row in rows])
    return 0


def _users(named: list[str]) -> list[str]:
    from automl_rec.errors import DataError

    users: list[str] = []
    for name in named:
        if not name.startswith("@"):
            users.append(name)
            continue
        try:
            lines = Path(name[1:]).read_text("utf-8-sig").splitlines()
            users += [line.strip() for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{name[1:]}: a file of user ids, one a line, was expected: {error}. "
                f"Name ids directly, or another file."
            ) from error
    return users
