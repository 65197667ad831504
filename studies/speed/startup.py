"""Wall seconds of the commands that must not wait for torch."""

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from studies.speed.figure import Figure

REPEATS = 7
MOST_SECONDS = 0.5
HEAVY = ("torch", "optuna", "ray")
PROGRAM = Path(sysconfig.get_path("scripts")) / "automl-rec"
IMPORTED = f"""
import contextlib, io, sys
from automl_rec.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(*(name for name in {HEAVY} if name in sys.modules))
"""


def seconds_of(word: str) -> float:
    started = time.perf_counter()
    subprocess.run([PROGRAM, word], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def imported_by(word: str) -> list[str]:
    command = [sys.executable, "-c", IMPORTED, word]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def main() -> None:
    words = ("--help", "plugins")
    for word in words:
        seconds_of(word)
    found: dict[str, list[float]] = {word: [] for word in words}
    for _ in range(REPEATS):
        for word in words:
            found[word].append(seconds_of(word))
    for word in words:
        Figure(f"automl-rec {word}", "s", tuple(found[word]), most=MOST_SECONDS).emit()
        heavy = imported_by(word)
        note = f"{', '.join(heavy) or 'none'} of {', '.join(HEAVY)}"
        Figure(f"automl-rec {word}, heavy imports", "", (len(heavy),), most=0, note=note).emit()


if __name__ == "__main__":
    main()
