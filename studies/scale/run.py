"""Measures how a study grows with its processes and trials; writes the tables of this folder.

usage: python -m studies.scale.run [--only PART]

What stands in ``results/`` is not measured again; delete a part's file to have it anew.
"""

import argparse
import sys

from studies import processes
from studies.scale.table import write_tables

PARTS = ("growth", "search", "overhead")


def measure(part: str) -> int:
    """Runs a part in a process of its own, on one thread, and gives its exit status."""
    print(f"{part}:", flush=True)
    status = processes.run(f"studies.scale.{part}")
    write_tables()
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures how a study grows.")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    asked = parser.parse_args()
    return max(measure(part) for part in asked.only or PARTS)


if __name__ == "__main__":
    sys.exit(main())
