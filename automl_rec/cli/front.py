"""``automl-rec front``: the trials worth shipping, as a table."""

import argparse
from typing import TYPE_CHECKING, Any

from automl_rec.cli.options import Commands, add_json, add_study

if TYPE_CHECKING:
    from automl_rec.search.study import Study
    from automl_rec.storage.records import TrialRecord


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("front", help="show the front of a study, with its knee")
    add_study(parser)
    forms = parser.add_mutually_exclusive_group()
    add_json(forms)
    forms.add_argument("--csv", action="store_true", help="print CSV")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the front."""
    from automl_rec.cli.output import print_csv, print_json, print_table
    from automl_rec.search.study import Study

    study = Study.open(arguments.study, storage=arguments.storage, out=arguments.runs)
    front = study.front()
    knee = study.knee()
    if arguments.json:
        print_json([_plain(study, trial, knee=trial is knee) for trial in front])
    elif arguments.csv:
        print_csv([_flat(study, trial, knee=trial is knee) for trial in front])
    else:
        print_table([_shown(study, trial, knee=trial is knee) for trial in front], _title(study))
        for sentence in study.sentences():
            print(sentence)
    return 0


def _title(study: "Study") -> str:
    volumes = study.hypervolumes()
    volume = f", hypervolume {volumes[-1][1]:.4f}" if volumes else ""
    return f"Front of {study.name}: {len(study.trials)} trials{volume}"


def _plain(study: "Study", trial: "TrialRecord", *, knee: bool) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "knee": knee,
        "configuration": trial.configuration,
        "digest": trial.digest,
        "feasible": all(violation <= 0 for violation in trial.violations.values()),
        "train_seconds": trial.train_seconds,
        "parent": trial.parent,
        "measurements": {
            name: {"value": found.value, "standard_error": found.standard_error}
            for name, found in trial.measurements.items()
        },
    }


def _flat(study: "Study", trial: "TrialRecord", *, knee: bool) -> dict[str, Any]:
    from automl_rec.space.configuration import Configuration

    values: dict[str, float | None] = {}
    for objective in study.objectives:
        found = trial.measurements[objective.name]
        values[objective.name] = found.value
        values[f"{objective.name}_standard_error"] = found.standard_error
    text = Configuration.from_dict(trial.configuration).text
    told = {"trial": trial.number, "parent": trial.parent, "knee": knee}
    return {**told, **values, "configuration": text}


def _shown(study: "Study", trial: "TrialRecord", *, knee: bool) -> dict[str, Any]:
    from automl_rec.objectives.amount import amount
    from automl_rec.search.title import title_of
    from automl_rec.search.wording import numbered
    from automl_rec.space.configuration import Configuration

    row: dict[str, Any] = {"trial": f"{numbered(trial)}{' (knee)' if knee else ''}"}
    for objective in study.objectives:
        found = trial.measurements[objective.name]
        text = amount(found.value, objective.unit)
        if not objective.unit and found.standard_error is not None:
            text += f" ± {found.standard_error:.4f}"
        row[objective.name] = text
    return row | {"configuration": title_of(Configuration.from_dict(trial.configuration))}
