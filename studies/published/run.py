"""Trains models as published on their own splits and writes the figures beside the published ones.

usage: python -m studies.published.run [SET ...] [--only CONFIGURATION] [--minutes 40] [--work DIR]

A training is kept under --work and goes on from there when the same command is run again.
"""

import argparse
import sys
from pathlib import Path

import yaml

from studies import places, processes
from studies.published.sets import HERE, SETS, data_section, read_set
from studies.published.table import write_table


def space_of(name: str, configuration: str) -> str:
    """The space of one configuration of a set."""
    study = read_set(name)
    chosen = study["configurations"][configuration]
    parts = {part: value for part, value in chosen.items() if part != "published"}
    space = {"data": data_section(name), "objectives": study["objectives"], **parts}
    return yaml.safe_dump(space, sort_keys=False)


def train(name: str, configuration: str, space: str, minutes: float, work: Path) -> int:
    """One configuration, in a process of its own, on one thread."""
    folder = work / name / configuration
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.yaml").write_text(space)
    print(f"{name} {configuration}:", flush=True)
    result = HERE / name / "results" / f"{configuration}.json"
    result.parent.mkdir(exist_ok=True)
    return processes.run("studies.published.train_one", folder / "space.yaml", result, minutes)


def main() -> int:
    parser = argparse.ArgumentParser(description="Trains models as published.")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"some of {', '.join(SETS)}")
    parser.add_argument("--only", action="append", metavar="CONFIGURATION")
    parser.add_argument("--minutes", type=float, default=40.0, help="wall time of each training")
    parser.add_argument("--work", type=Path, default=places.RUNS / "published")
    parser.add_argument("--table", action="store_true", help="write the tables alone")
    asked = parser.parse_args()
    if unknown := set(asked.sets) - set(SETS):
        parser.error(f"no set is named {', '.join(sorted(unknown))}")
    worst = 0
    for name in asked.sets or SETS:
        study = read_set(name)
        configurations = [c for c in study["configurations"] if not asked.only or c in asked.only]
        for configuration in [] if asked.table else configurations:
            space = space_of(name, configuration)
            worst = max(worst, train(name, configuration, space, asked.minutes, asked.work))
        write_table(HERE / name, study)
    return worst


if __name__ == "__main__":
    sys.exit(main())
