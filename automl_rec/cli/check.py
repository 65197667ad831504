"""``automl-rec check``: a space is checked and priced; nothing is trained."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_rec.cli.options import Commands, add_json, add_without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automl_rec.data import Prepared
    from automl_rec.data.request import Task
    from automl_rec.search.sampled_prices import PriceRange

SAMPLED = 200
"""Configurations priced; a few milliseconds each."""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "check", help="check a space and show what its configurations cost; nothing is trained"
    )
    parser.add_argument("space", type=Path, metavar="SPACE.yaml")
    add_json(parser)
    add_without(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the size of the space and the price range of each model."""
    from automl_rec.cli.output import print_json, print_table
    from automl_rec.data import prepare
    from automl_rec.evaluation import require_measurable
    from automl_rec.objectives import resolve
    from automl_rec.registry import Registry
    from automl_rec.search.reason import commonest
    from automl_rec.search.sampled_prices import sampled_prices
    from automl_rec.search.wording import counted
    from automl_rec.space.checker import read_space

    registry = Registry.discover(without=arguments.without)
    space = read_space(arguments.space, registry)
    objectives = resolve(space.objectives, space.data.task)
    data = prepare(space.data)
    require_measurable(data, objectives)
    found = sampled_prices(space, data.catalog, registry, objectives, SAMPLED)
    if arguments.json:
        print_json([_plain(price) for price in found])
        return 0
    size = space.configurations()
    sizes = "infinitely many configurations" if size is None else counted(size, "configuration")
    print(f"{arguments.space} is sound: {sizes} of {counted(len(found), 'model')}.")
    print(f"Data: {_sizes(data)}, split {data.description['split']}.")
    for note in data.notes:
        print(f"Note: {note}")
    print(f"\nPrices of {SAMPLED} random configurations:")
    print_table([_shown(price, space.data.task) for price in found])
    most = commonest([reason for price in found for reason in price.reasons])
    if most is not None:
        print(f"The commonest refusal ({most[1]} of {_refused(found)}): {most[0]}")
    if all(price.refused == price.sampled for price in found):
        print(
            "No sampled configuration is feasible: each breaks a bound, or its parts cannot stand "
            "together. Loosen the bounds under objectives, or add smaller components."
        )
    return 0


def _refused(found: "Sequence[PriceRange]") -> int:
    return sum(price.refused for price in found)


def _plain(price: "PriceRange") -> dict[str, Any]:
    return {
        "model": price.model,
        "sampled": price.sampled,
        "refused": price.refused,
        "bytes": price.bytes,
        "operations": price.operations,
    }


def _sizes(data: "Prepared") -> str:
    from automl_rec.search.wording import counted

    known = data.description
    if data.task == "ranking":
        return (
            f"{known['rows']:,} rows of {counted(len(known['fields']), 'field')}, "
            f"{known['train']:,} of them "
            f"to train on, of these {known['positives']['train']:.1%} with label 1"
        )
    return f"{known['users']:,} users, {known['items']:,} items, {known['train']:,} train events"


def _shown(price: "PriceRange", task: "Task") -> dict[str, Any]:
    from automl_rec.costs import PRICED_ROWS
    from automl_rec.objectives.amount import amount

    def range_of(interval: tuple[float, float] | None, unit: str) -> str:
        if interval is None:
            return "-"
        ends = [amount(end, unit) for end in interval]
        return ends[0] if ends[0] == ends[1] else " to ".join(ends)

    judged = f"for {PRICED_ROWS:,} rows" if task == "ranking" else "a request"
    return {
        "model": price.model,
        "bytes": range_of(price.bytes, "B"),
        f"multiply-adds {judged}": range_of(price.operations, "multiply-adds"),
        "sampled": price.sampled,
        "of them refused": price.refused,
    }
