"""movielens-100k: our search beside a plain Optuna script, one processor each."""

import csv
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import optuna

from automl_rec.data import prepare
from automl_rec.registry import Registry
from automl_rec.search.study import Study
from automl_rec.space.checker import read_space
from automl_rec.storage.records import TrialRecord
from studies import places
from studies.speed.figure import Figure

SECONDS, QUICK_SECONDS = 220, 30
SPACE = Path(__file__).with_name("search_movielens_100k.yaml")
CURVES = Path(__file__).parent / "results" / "search_curves.csv"
REFERENCE = 7.5
"""Of log10 bytes; the reference of NDCG@10 is 0."""
FORMER = 0.2248
"""What the script reached in 220 s when it was first measured."""
MOST_SHARE = 0.1

Trial = tuple[float, float, float]
Curve = list[tuple[float, float]]
Count = Callable[[TrialRecord], float]


def start(
    command: list[object], environment: dict[str, str], processor: int
) -> subprocess.Popen[bytes]:
    """Runs a command on one processor."""
    words = list(map(str, command))
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, {processor})
    return process


def run_both(folder: Path, data: Path, seconds: int) -> float:
    """Runs ours and the script from the same moment, each on one processor; gives the moment."""
    first, *others = sorted(os.sched_getaffinity(0))
    last = others[-1] if others else first
    space = folder / SPACE.name
    shutil.copy(SPACE, space)
    shutil.copy(data, folder / data.name)
    ours: list[object] = [sys.executable, "-m", "automl_rec", "search", space, "--out", folder]
    ours += ["--timeout", f"{seconds}s", "--workers", "1"]
    peer: list[object] = [sys.executable, places.peer("optuna_baseline.py"), "--data", data]
    peer += ["--sampler", "tpe", "--trials", "100000", "--timeout", str(seconds)]
    peer += ["--threads", "1", "--out", folder / "peer.jsonl"]
    environment = os.environ | {"AUTOML_REC_CACHE": str(folder / "cache")}
    began = time.time()
    running = [start(ours, environment, first), start(peer, environment, last)]
    statuses = [process.wait() for process in running]
    for process, status in zip(running, statuses, strict=True):
        if status != 0:
            raise subprocess.CalledProcessError(status, process.args)
    return began


def trials_of_peer(folder: Path, began: float) -> list[Trial]:
    """(seconds, NDCG@10, bytes) of every trial of the script."""
    (database,) = folder.glob("baseline-*.db")
    study = optuna.load_study(study_name=database.stem, storage=f"sqlite:///{database}")
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    found = []
    for trial in done:
        assert trial.datetime_complete is not None
        quality, size = trial.values
        found.append((trial.datetime_complete.timestamp() - began, quality, size))
    return sorted(found)


def trials_of_ours(folder: Path, began: float, count: Count) -> list[Trial]:
    """(seconds, NDCG@10, bytes by ``count``) of every trial whose model the script has as well."""
    trials = [t for t in Study.open(folder / SPACE.stem).trials if t.state == "complete"]
    return sorted(
        (trial.finished - began, trial.measurements["ndcg@10"].value, count(trial))
        for trial in trials
        if "popularity" not in trial.configuration["model"]
    )


def real_bytes(trial: TrialRecord) -> float:
    return trial.measurements["bytes"].value


def counted_alike(users: int, items: int) -> Count:
    """How the script counts: 4 bytes a number, or 8 an entry and 4 a row below half density."""

    def count(trial: TrialRecord) -> float:
        ((model, values),) = trial.configuration["model"].items()
        rows, columns = (items, items) if model == "ease" else (users + items, values["width"])
        sparsity = trial.configuration["sparsity"].get("magnitude", {})
        density = sparsity.get("density", 1.0)
        if density >= 0.5:
            return 4.0 * rows * columns
        return 8.0 * round(density * rows * columns) + 4.0 * (rows + 1)

    return count


def hypervolume(points: list[tuple[float, float]]) -> float:
    """Area that (NDCG@10, log10 bytes) dominate down to (0, `REFERENCE`)."""
    area, reached = 0.0, 0.0
    for size, quality in sorted((size, -quality) for quality, size in points):
        gain = max(0.0, -quality - reached)
        area += gain * max(0.0, REFERENCE - size)
        reached += gain
    return area


def curve_of(trials: list[Trial]) -> Curve:
    """(seconds, hypervolume) after each trial."""
    points = accumulate(
        ([(quality, math.log10(size))] for _, quality, size in trials), lambda a, b: a + b
    )
    seconds = (trial[0] for trial in trials)
    return [(at, hypervolume(known)) for at, known in zip(seconds, points, strict=True)]


def passing(curve: Curve, volume: float) -> float:
    """The seconds after which a curve is above a hypervolume."""
    return next((seconds for seconds, reached in curve if reached > volume), math.inf)


def write_curves(curves: dict[str, Curve]) -> None:
    CURVES.parent.mkdir(exist_ok=True)
    with CURVES.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("side", "seconds", "hypervolume"))
        for side, curve in curves.items():
            rows.writerows((side, f"{at:.2f}", f"{volume:.5f}") for at, volume in curve)


def told(curves: dict[str, Curve]) -> tuple[Figure, ...]:
    ours, peer, real = curves["ours"], curves["script"], curves["ours, real bytes"]
    final, ended = peer[-1][1], peer[-1][0]
    when = passing(ours, final)
    reached = next(at for at, volume in peer if volume >= final)
    note = f"the script ended with {final:.4f}, which it reached after {reached:.0f} s"
    share = Figure(
        "until ours passes the script's end", "s", (when,), (ended,), most=MOST_SHARE, note=note
    )
    volumes = Figure("hypervolume at the end", "", (ours[-1][1],), (final,), least=1.0)
    former = Figure(f"until ours passes {FORMER}", "s", (passing(ours, FORMER),))
    note = "of the files written"
    by_files = Figure("hypervolume at the end, by real bytes", "", (real[-1][1],), note=note)
    trials = Figure("trials finished", "", (len(ours),), (len(peer),))
    return share, volumes, former, by_files, trials


def main() -> None:
    quick = "--quick" in sys.argv
    data = places.data("movielens-100k") / "ml-100k.inter"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = run_both(folder, data, QUICK_SECONDS if quick else SECONDS)
        space = read_space(folder / SPACE.name, Registry.discover())
        catalog = prepare(space.data, folder / "cache").catalog
        alike = counted_alike(catalog.num_users, catalog.num_items)
        curves = {
            "ours": curve_of(trials_of_ours(folder, began, alike)),
            "script": curve_of(trials_of_peer(folder, began)),
            "ours, real bytes": curve_of(trials_of_ours(folder, began, real_bytes)),
        }
    if not quick:
        write_curves(curves)
    for figure in told(curves):
        figure.emit()


if __name__ == "__main__":
    main()
