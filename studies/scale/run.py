"""Measures how a study grows with its processes and trials; writes the tables of this folder.

usage: python studies/scale/run.py [--only PART]

What stands in ``results/`` is not measured again; delete a part's file to have it anew.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from table import write_tables

HERE = Path(__file__).parent
PARTS = ("growth", "search", "overhead")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


def measure(part: str) -> int:
    """Runs a part in a process of its own, on one thread, and gives its exit status."""
    print(f"{part}:", flush=True)
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    done = subprocess.run([sys.executable, str(HERE / f"{part}.py")], env=environment, check=False)
    write_tables()
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures how a study grows.")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    asked = parser.parse_args()
    return max(measure(part) for part in asked.only or PARTS)


if __name__ == "__main__":
    sys.exit(main())
