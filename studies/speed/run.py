"""Measures the speed and memory of automl_rec and writes the figures to this folder's README.

usage: python -m studies.speed.run [--only PART] [--quick]
"""

import argparse
import subprocess
import sys
from pathlib import Path

from studies.processes import environment
from studies.speed.table import write_table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PARTS = {
    "startup": 1,
    "overhead": 1,
    "search": 1,
    "models": 1,
    "memory": 1,
    "data": None,
    "catalogue": 1,
}
"""Part -> threads; None for as many as there are processors."""


def measure(part: str, *, quick: bool) -> int:
    """Runs a part; keeps what it measured only where it was whole, and gives its exit status."""
    print(f"{part}:", flush=True)
    command = [sys.executable, "-m", f"studies.speed.{part}", *(["--quick"] if quick else [])]
    variables = environment(PARTS[part])
    lines = []
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  {line}", end="", flush=True)
            lines.append(line)
    if process.returncode == 0 and not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{part}.jsonl").write_text("".join(lines))
        write_table(HERE / "README.md", RESULTS, list(PARTS))
    return process.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures speed and memory.")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is written")
    asked = parser.parse_args()
    parts = asked.only or list(PARTS)
    return max(measure(part, quick=asked.quick) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
