"""Searches with and without derived trials, for equal wall time; writes the table of the README.

usage: python -m studies.sharing.run [SPACE ...] [--seeds N] [--workers N]

What stands in results/ is not measured again.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from automl_rec.search.study import Study
from studies.places import located
from studies.processes import environment
from studies.readme import grid, write
from studies.results import Line, Results

HERE = Path(__file__).resolve().parent
RESULTS = Results.of("sharing", "searches")
SPACES = ("movielens-100k", "movielens-1m")
MOST = (8, 0)
"""Trials derived from one training; 0 derives none and shares nothing."""
PARTS = (0.25, 0.5, 1.0)
"""Of the time, after which the hypervolume is read."""


def space_of(name: str, most: int) -> Line:
    """A space with its files where they are."""
    space = yaml.safe_load((HERE / f"{name}.yaml").read_text("utf-8"))
    return space | {"data": located(space["data"]), "search": {"after_parts": most}}


def searched(name: str, most: int, seed: int, workers: int) -> Line:
    """What a search found in its time."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.yaml")
        path.write_text(yaml.safe_dump(space_of(name, most), sort_keys=False))
        program = [sys.executable, "-m", "automl_rec", "search", str(path), "--out", folder]
        options = ["--seed", str(seed), "--workers", str(workers), "--json"]
        subprocess.run(
            [*program, *options], check=True, env=environment(), stdout=subprocess.DEVNULL
        )
        study = Study.open(name, out=folder)
        return told(study)


def told(study: Study) -> Line:
    ran = [trial for trial in study.trials if trial.worker is not None]
    span = max(t.finished for t in ran) - min(t.started for t in ran)
    front = study.front()
    return {
        "seconds": round(span, 1),
        "trials": len(ran),
        "derived": sum(trial.origin == "derived" for trial in ran),
        "shared": sum(trial.parent is not None for trial in ran),
        "front": len(front),
        "front_derived": sum(trial.parent is not None for trial in front),
        "best": max(trial.measurements["ndcg@10"].value for trial in front),
        "curve": [[round(s, 1), round(v, 5)] for s, v in study.hypervolumes()],
    }


def measure(asked: argparse.Namespace) -> None:
    """Both sides in turn, seed by seed."""
    for name in asked.spaces or SPACES:
        for seed in range(asked.seeds):
            for most in MOST if seed % 2 == 0 else reversed(MOST):
                if not RESULTS.has(space=name, most=most, seed=seed):
                    found = searched(name, most, seed, asked.workers)
                    key = {"space": name, "most": most, "seed": seed, "workers": asked.workers}
                    RESULTS.add_with_load(**key, **found)


def volume_after(line: Line, seconds: float) -> float:
    """The hypervolume of what had ended by then."""
    return max((volume for second, volume in line["curve"] if second <= seconds), default=0.0)


def rows(found: list[Line]) -> Iterator[tuple[str, ...]]:
    """A row of means a space and side, with the spread of the last hypervolume over seeds."""
    for name in SPACES:
        for most in MOST:
            own = [line for line in found if (line["space"], line["most"]) == (name, most)]
            if not own:
                continue
            whole = max(line["seconds"] for line in found if line["space"] == name)

            def mean(key: str, own: list[Line] = own) -> float:
                return statistics.mean(line[key] for line in own)

            volumes = [[volume_after(line, part * whole) for line in own] for part in PARTS]
            spread = statistics.stdev(volumes[-1]) if len(own) > 1 else 0.0
            yield (
                name,
                str(most),
                str(len(own)),
                f"{60 * mean('trials') / mean('seconds'):.1f}",
                f"{60 * (mean('trials') - mean('derived')) / mean('seconds'):.1f}",
                *(f"{statistics.mean(at):.4f}" for at in volumes[:-1]),
                f"{statistics.mean(volumes[-1]):.4f} ± {spread:.4f}",
                f"{mean('best'):.4f}",
                f"{mean('front'):.0f} ({mean('front_derived'):.0f})",
                f"{mean('load'):.1f}",
            )


def write_table() -> None:
    head = (
        "data",
        "derived from a training, at most",
        "seeds",
        "trials a minute",
        "of them not derived",
        *(f"hypervolume after {part:.0%} of the time" for part in PARTS[:-1]),
        "at the end",
        "best NDCG@10",
        "front (sharing)",
        "load",
    )
    write(HERE / "README.md", "searches", grid(head, rows(RESULTS.lines())))


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares searches with and without sharing.")
    parser.add_argument("spaces", nargs="*", choices=[*SPACES, []], metavar="SPACE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    measure(parser.parse_args())
    write_table()
    return 0


if __name__ == "__main__":
    sys.exit(main())
