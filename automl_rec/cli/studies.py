"""``automl-rec studies``: the studies of a database, and the processes that run their trials."""

import argparse
from typing import TYPE_CHECKING, Any

from automl_rec.cli.options import Commands, add_json, add_runs, add_storage

if TYPE_CHECKING:
    from automl_rec.search.overview import Overview, Process


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("studies", help="list studies, and who runs their trials")
    add_runs(parser, "--out")
    add_storage(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a table of studies, and one of the processes that have not left."""
    from automl_rec.cli.output import print_json, print_table
    from automl_rec.search.overview import overviews
    from automl_rec.search.wording import counted

    found = overviews(storage=arguments.storage, out=arguments.runs)
    if arguments.json:
        print_json([_plain(study) for study in found])
        return 0
    if not found:
        print("There is no study; automl-rec search SPACE.yaml begins one.")
        return 0
    print_table([_row(study) for study in found], counted(len(found), "study", "studies"))
    rows = [
        _process_row(study, process)
        for study in found
        for process in study.processes
        if process.state != "left"
    ]
    if rows:
        print_table(rows, "Processes that run trials")
    return 0


def _row(study: "Overview") -> dict[str, Any]:
    alive = [p for p in study.processes if p.state in ("working", "idle")]
    budget = study.budget.trials
    return {
        "study": study.name,
        **{state: study.counts.get(state, 0) for state in ("complete", "pruned", "failed")},
        "derived": study.derived,
        "running": study.running,
        "waiting": study.waiting,
        "budget": "-" if budget is None else str(budget),
        "processes": len(alive),
    }


def _process_row(study: "Overview", process: "Process") -> dict[str, Any]:
    return {
        "study": study.name,
        "process": f"{process.worker.owner.host}:{process.worker.owner.pid}",
        "role": process.worker.role,
        "engine": process.worker.engine,
        "state": process.state,
        "trials": f"{process.trials} of {process.worker.trials_at_once}",
        "last heard of": f"{process.silent_seconds:.0f} s ago",
    }


def _plain(study: "Overview") -> dict[str, Any]:
    return {
        "study": study.name,
        "trials": dict(study.counts),
        "derived": study.derived,
        "running": study.running,
        "waiting": study.waiting,
        "budget": {"trials": study.budget.trials, "seconds": study.budget.seconds},
        "processes": [
            {
                "host": process.worker.owner.host,
                "pid": process.worker.owner.pid,
                "role": process.worker.role,
                "engine": process.worker.engine,
                "state": process.state,
                "trials": process.trials,
                "trials_at_once": process.worker.trials_at_once,
                "silent_seconds": process.silent_seconds,
                "joined": process.worker.joined,
            }
            for process in study.processes
        ],
    }
