"""Trains models as published on their own splits and writes the figures beside the published ones.

usage: python studies/published/run.py [SET ...] [--only CONFIGURATION] [--minutes 40] [--work DIR]

A training is kept under --work and goes on from there when the same command is run again.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml
from table import write_table

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
SETS = ("gowalla", "movielens_1m", "amazon_beauty", "frappe")
FILES = ("path", "train", "validation", "test")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def data_folder() -> Path:
    default = PROJECT.parent / "shared" / "data"
    folder = Path(os.environ.get("AUTOML_REC_DATA", default)).resolve()
    if not folder.is_dir():
        print(f"{folder} is absent. Set AUTOML_REC_DATA to the data.", file=sys.stderr)
        raise SystemExit(2)
    return folder


def space_of(study: dict, configuration: str) -> str:
    """The space of one configuration, with the data's files where they are."""
    data = {
        name: str(data_folder() / value) if name in FILES else value
        for name, value in study["data"].items()
    }
    chosen = study["configurations"][configuration]
    parts = {name: value for name, value in chosen.items() if name != "published"}
    space = {"data": data, "objectives": study["objectives"], **parts}
    return yaml.safe_dump(space, sort_keys=False)


def train(name: str, configuration: str, space: str, minutes: float, work: Path) -> int:
    """One configuration, in a process of its own, on one thread."""
    folder = work / name / configuration
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.yaml").write_text(space)
    results = HERE / name / "results"
    results.mkdir(exist_ok=True)
    print(f"{name} {configuration}:", flush=True)
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "train_one.py"),
            str(folder / "space.yaml"),
            str(results / f"{configuration}.json"),
            str(minutes),
        ],
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, "1"),
        check=False,
    )
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Trains models as published.")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"some of {', '.join(SETS)}")
    parser.add_argument("--only", action="append", metavar="CONFIGURATION")
    parser.add_argument("--minutes", type=float, default=40.0, help="wall time of each training")
    parser.add_argument("--work", type=Path, default=PROJECT / "runs" / "published")
    parser.add_argument("--table", action="store_true", help="write the tables alone")
    asked = parser.parse_args()
    if unknown := set(asked.sets) - set(SETS):
        parser.error(f"no set is named {', '.join(sorted(unknown))}")
    worst = 0
    for name in asked.sets or SETS:
        study = yaml.safe_load((HERE / name / "study.yaml").read_text())
        configurations = [c for c in study["configurations"] if not asked.only or c in asked.only]
        for configuration in [] if asked.table else configurations:
            space = space_of(study, configuration)
            worst = max(worst, train(name, configuration, space, asked.minutes, asked.work))
        write_table(HERE / name, study)
    return worst


if __name__ == "__main__":
    sys.exit(main())
