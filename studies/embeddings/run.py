"""Trains every embedding at every budget and writes the tables and plots of the README.

usage: python -m studies.embeddings.run [HOST ...] [--only SETTING ...] [--budgets B ...]
           [--seeds N] [--minutes M] [--jobs N] [--work DIR] [--again] [--plan]

A HOST is data/model or the data alone; a SETTING may be the name of an embedding. What is among the
results is not trained again.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from studies import plan
from studies.embeddings.study import Study, Training, read_study
from studies.embeddings.train_one import lines
from studies.processes import measure, run
from studies.published.sets import data_section

Data = dict[str, dict[str, Any]]


def chosen(study: Study, asked: argparse.Namespace) -> list[Training]:
    """The trainings that were asked for, in the order in which they run."""
    return [
        training
        for training in study.trainings(asked.seeds)
        if plan.is_named(training.host.name, asked.hosts)
        and (not asked.only or {training.setting, training.family} & set(asked.only))
        and (not asked.budgets or training.budget in asked.budgets)
    ]


def missing(trainings: list[Training], *, again: bool) -> list[Training]:
    """Those that no result is kept of."""
    hosts = {training.host.name: training.host for training in trainings}
    known = {name: host.results.by_key() for name, host in hosts.items()}
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


def train(data: Data, work: Path, training: Training) -> bool:
    """Keeps what a process of its own finds; whether it could."""
    for line in measure(lines, request(training, data[training.host.data])):
        print(f"{training.title}: {wording(line)}", flush=True)
        if "failed" in line:
            (work / f"{training.key}.log").write_text(f"{training.title}\n\n{line['log']}")
            return False
        keep(training, line)
    return True


def keep(training: Training, line: dict[str, Any]) -> None:
    told = {
        "key": training.key,
        "setting": training.setting,
        "family": training.family,
        "budget": training.budget,
        "seed": training.seed,
    }
    training.host.results.add(told | line)


def wording(line: dict[str, Any]) -> str:
    for fault in ("infeasible", "diverged", "failed"):
        if fault in line:
            return f"{fault}: {line[fault]}"
    # Of validation: what is seen while the study is made must not be of test.
    quality, value = next(iter(line["validation"].items()))
    share = line["bytes_tables"] / line["full_bytes"]
    stopped = f", ended by {line['stopped']}" if line["stopped"] else ""
    return f"{quality} {value:.4f}, {share:.4f} of the bytes, {line['cpu_seconds']:.0f} s{stopped}"


def parsed(study: Study) -> argparse.Namespace:
    parser = plan.parser("embeddings", "Trains every embedding at every budget.", study.hosts)
    parser.add_argument("--budgets", nargs="+", type=float, metavar="SHARE")
    families = map(study.family, study.settings)
    return plan.parse(parser, study.hosts, {*study.settings, *families})


def main() -> int:
    study = read_study()
    asked = parsed(study)
    trainings = missing(chosen(study, asked), again=asked.again)
    if asked.plan:
        print(*(training.title for training in trainings), sep="\n")
        print(f"{len(trainings)} trainings")
        return 0
    data = {name: data_section(name) for name in {t.host.data for t in trainings}}
    worst = plan.run(trainings, partial(train, data, asked.work), asked)
    return max(worst, run("studies.embeddings.table"))


if __name__ == "__main__":
    sys.exit(main())
