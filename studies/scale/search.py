"""Trials per minute of real searches: the command, its workers, its trainings, its database.

Every search has the same seed and as many trials. The random sampler draws the same configurations
whatever the timing, but in a second process, which has a seed of its own.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from automl_rec.storage.repository import Repository
from studies.results import Results
from studies.scale.databases import Databases, databases

SPACE = Path(__file__).with_name("small.yaml")
TRIALS = 24
AS_EAGER = {"RAY_worker_niceness": "0"}
"""Ray's workers give way to every other process (niceness 15), ours do not."""
CASES = (
    ("sqlite", "local", 1),
    ("sqlite", "local", 2),
    ("sqlite", "search and worker", 2),
    ("postgresql", "local", 1),
    ("postgresql", "local", 2),
    ("postgresql", "search and worker", 2),
    ("sqlite", "ray", 1),
    ("sqlite", "ray", 2),
)


def command(*arguments: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "automl_rec", *arguments, "--json"]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, env=os.environ | AS_EAGER)


def measure(made: Databases, kind: str, engine: str, workers: int) -> dict[str, float]:
    """Trials a minute, from the first that begins to the last that ends, and of the command."""
    url = made.new(kind)
    with TemporaryDirectory() as out:
        place = ("--storage", url, "--out", out)
        whole = ("--trials", str(TRIALS), "--seed", "0")
        each = 1 if engine == "search and worker" else workers
        options = ["--workers", str(each), *(["--engine", "ray"] if engine == "ray" else [])]
        began = time.perf_counter()
        first = command("search", str(SPACE), *whole, *options, *place)
        processes = [first]
        if engine == "search and worker":
            wait_for_study(url)
            processes.append(command("worker", SPACE.stem, "--workers", "1", *place))
        statuses = [process.wait() for process in processes]
        seconds = time.perf_counter() - began
    assert statuses == [0] * len(processes), statuses
    with Repository.open(url) as repository:
        trials = [t for t in repository.study(SPACE.stem).trials() if t.worker is not None]
    span = max(t.finished for t in trials) - min(t.started for t in trials)
    return {
        "trials": len(trials),
        "per_minute": 60 * len(trials) / span,
        "span": span,
        "command": seconds,
        "training": sum(t.train_seconds or 0.0 for t in trials) / len(trials),
        "processes": len({(t.worker or "").rpartition("/")[0] for t in trials}),
    }


def wait_for_study(url: str) -> None:
    """Until somebody searches it."""
    while True:
        time.sleep(0.1)
        with Repository.open(url) as repository:
            known = [manifest.name for manifest in repository.studies()]
            if known and repository.study(known[0]).claims.workers():
                return


def main() -> None:
    results = Results.of("scale", "search")
    with databases() as made:
        for kind, engine, workers in CASES:
            key = {"database": kind, "engine": engine, "workers": workers}
            if not results.has(**key):
                results.add_with_load(**key, **measure(made, kind, engine, workers))


if __name__ == "__main__":
    main()
