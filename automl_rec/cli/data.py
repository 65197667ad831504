"""``automl-rec data``: built-in data, and what a space's data look like once prepared."""

import argparse
from pathlib import Path

from automl_rec.cli.options import Commands, add_json


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("data", help="list built-in data, or describe a space's data")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the built-in data")
    add_json(listing)
    listing.set_defaults(run=run_list)
    describing = actions.add_parser("describe", help="read, check and split; show what came of it")
    describing.add_argument(
        "source", metavar="SOURCE|SPACE.yaml", help="built-in data, or a space with a data section"
    )
    add_json(describing)
    describing.set_defaults(run=run_describe)


def run_list(arguments: argparse.Namespace) -> int:
    """Prints the built-in data."""
    from automl_rec.cli.output import print_json, print_table
    from automl_rec.data import list_sources

    rows = [
        {"source": source.name, "what": source.summary, "terms": source.terms}
        for source in list_sources()
    ]
    (print_json if arguments.json else print_table)(rows)
    return 0


def run_describe(arguments: argparse.Namespace) -> int:
    """Prints counts, split, the fields of rows, and notes."""
    from automl_rec.cli.output import print_json, print_table
    from automl_rec.data import DataRequest, describe
    from automl_rec.registry import Registry
    from automl_rec.space.checker import read_space

    if Path(arguments.source).suffix in (".yaml", ".yml"):
        request = read_space(Path(arguments.source), Registry.discover()).data
    else:
        request = DataRequest(source=arguments.source)
    description = describe(request)
    if arguments.json:
        print_json([description])
        return 0
    for name, value in description.items():
        if name not in {"fields", "notes"}:
            print(f"{name}: {value}")
    if description["task"] == "ranking":
        print_table(description["fields"], "fields:")
    for note in description["notes"]:
        print(f"note: {note}")
    return 0
