"""Trains every embedding at every budget and writes the tables and plots of the README.

usage: python studies/embeddings/run.py [HOST ...] [--only SETTING ...] [--budgets B ...]
           [--seeds N] [--minutes M] [--jobs N] [--work DIR] [--again] [--plan]

A HOST is data/model or the data alone; a SETTING may be the name of an embedding. What is among the
results is not trained again.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from study import HERE, PROJECT, RESULTS, Host, Study, Training, data_section, found, read_study
from train_one import answer

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
PROCESSES = multiprocessing.get_context("forkserver")
LOADED_ONCE = ["torch", "automl_rec.evaluation", "automl_rec.search.shipping"]
"""Modules that every training needs, which take longer to load than some trainings."""


def chosen(study: Study, asked: argparse.Namespace) -> list[Training]:
    """The trainings that were asked for, in the order in which they run."""
    return [
        training
        for training in study.trainings(asked.seeds)
        if _is_named(training.host.name, asked.hosts)
        and (not asked.only or {training.setting, training.family} & set(asked.only))
        and (not asked.budgets or training.budget in asked.budgets)
    ]


def _is_named(host: str, asked: list[str]) -> bool:
    return not asked or any(host == name or host.startswith(f"{name}/") for name in asked)


def missing(trainings: list[Training], *, again: bool) -> list[Training]:
    """Those that no result is kept of."""
    known = {training.host.name: found(training.host) for training in trainings}
    return [t for t in trainings if again or t.key not in known[t.host.name]]


def request(training: Training, data: dict[str, Any]) -> dict[str, Any]:
    host = training.host
    return {
        "data": data,
        "objectives": host.objectives,
        "full": host.model,
        "model": training.model,
        "embedding": training.embedding,
        "seed": training.seed,
        "seconds": host.seconds,
    }


def train(training: Training, data: dict[str, Any], end: float) -> dict[str, Any] | None:
    """What a process of its own found; None if time was up before it began."""
    if time.monotonic() >= end:
        return None
    receiving, sending = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=answer, args=(request(training, data), sending))
    process.start()
    sending.close()
    try:
        line: dict[str, Any] = receiving.recv()
    except EOFError:
        line = {}
    process.join()
    return line or {"failed": f"ended with status {process.exitcode}", "log": ""}


def keep(host: Host, training: Training, line: dict[str, Any]) -> None:
    """Adds a line to the results; of two with one key, the later counts."""
    told = {
        "key": training.key,
        "setting": training.setting,
        "family": training.family,
        "budget": training.budget,
        "seed": training.seed,
    }
    with host.results.open("a") as file:
        file.write(json.dumps(told | line) + "\n")


def wording(line: dict[str, Any]) -> str:
    for fault in ("infeasible", "diverged", "failed"):
        if fault in line:
            return f"{fault}: {line[fault]}"
    # Of validation: what is seen while the study is made must not be of test.
    quality, value = next(iter(line["validation"].items()))
    share = line["bytes_tables"] / line["full_bytes"]
    stopped = f", ended by {line['stopped']}" if line["stopped"] else ""
    return f"{quality} {value:.4f}, {share:.4f} of the bytes, {line['cpu_seconds']:.0f} s{stopped}"


def run(trainings: list[Training], asked: argparse.Namespace) -> int:
    """Trains them, some at once; 1 if any failed."""
    end = time.monotonic() + 60 * asked.minutes
    data = {host: data_section(host) for host in {t.host.data for t in trainings}}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    PROCESSES.set_forkserver_preload(LOADED_ONCE)
    RESULTS.mkdir(exist_ok=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    failed = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        running = {pool.submit(train, t, data[t.host.data], end): t for t in trainings}
        for number, future in enumerate(as_completed(running), 1):
            training, line = running[future], future.result()
            if line is None:
                continue
            if "failed" in line:
                failed += 1
                told = f"{training.title}\n\n{line['log']}"
                (asked.work / f"{training.key}.log").write_text(told)
            else:
                keep(training.host, training, line)
            print(f"{number}/{len(trainings)} {training.title}: {wording(line)}", flush=True)
    if failed:
        print(f"{failed} failed; {asked.work} says why.", file=sys.stderr)
    return min(failed, 1)


def parsed(study: Study) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Trains every embedding at every budget.")
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"of {', '.join(study.hosts)}")
    parser.add_argument("--only", nargs="+", metavar="SETTING", help="settings or embeddings")
    parser.add_argument("--budgets", nargs="+", type=float, metavar="SHARE")
    parser.add_argument("--seeds", type=int, metavar="N", help="no more than the first N")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin none after")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    parser.add_argument("--work", type=Path, default=PROJECT / "runs" / "embeddings")
    parser.add_argument("--again", action="store_true", help="also what is among the results")
    parser.add_argument("--plan", action="store_true", help="show what would be trained, and end")
    asked = parser.parse_args()
    for name in asked.hosts:
        if not any(_is_named(host, [name]) for host in study.hosts):
            parser.error(f"no host is named {name}")
    known = {*study.settings, *map(study.family, study.settings)}
    if unknown := set(asked.only or ()) - known:
        parser.error(f"no setting is named {', '.join(sorted(unknown))}")
    return asked


def main() -> int:
    study = read_study()
    asked = parsed(study)
    trainings = missing(chosen(study, asked), again=asked.again)
    if asked.plan:
        print(*(training.title for training in trainings), sep="\n")
        print(f"{len(trainings)} trainings")
        return 0
    worst = run(trainings, asked)
    subprocess.run([sys.executable, str(HERE / "table.py")], check=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
