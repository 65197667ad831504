"""Optuna reads what we write as if it had written it itself."""

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from automl_rec.errors import StorageError, StudyMismatchError
from automl_rec.objectives.objective import Measurement
from automl_rec.storage.mirror import Place
from automl_rec.storage.records import FinishedTrial, Manifest
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy

MakeTrial = Callable[..., FinishedTrial]


def local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone().replace(tzinfo=None)


def twin(trial: FinishedTrial, place: Place, values: list[float] | None) -> FrozenTrial:
    """What Optuna itself makes of a trial."""
    states = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    made = create_trial(
        state=states[trial.state],
        values=values,
        params=dict(place.values),
        distributions=dict(place.distributions),
    )
    made.datetime_start, made.datetime_complete = local(trial.started), local(trial.finished)
    return made


def test_a_trial_equals_its_twin_made_by_optuna(
    study: StoredStudy, make_trial: MakeTrial, place: Place, url: str
) -> None:
    trials = [make_trial(), make_trial(state="pruned"), make_trial(state="failed")]
    values: list[list[float] | None] = [[0.25, 90.0, 0.5], None, None]
    theirs = optuna.create_study(
        storage=url, study_name="twins", directions=["maximize", "minimize", "minimize"]
    )
    for trial, axis in zip(trials, values, strict=True):
        study.record(trial, place=place)
        theirs.add_trial(twin(trial, place, axis))
    ours = optuna.load_study(storage=url, study_name="ratings")
    for mine, made in zip(ours.trials, theirs.trials, strict=True):
        for name in (
            "number",
            "state",
            "values",
            "params",
            "distributions",
            "datetime_start",
            "datetime_complete",
            "intermediate_values",
        ):
            assert getattr(mine, name) == getattr(made, name), name
    assert list(ours.trials[0].params) == list(theirs.trials[0].params)
    assert ours.trials[0].params["flag"] is True


def test_rows_have_the_very_columns_that_optuna_writes(
    study: StoredStudy, make_trial: MakeTrial, place: Place, url: str, tmp_path: Path
) -> None:
    study.record(make_trial(), place=place)
    theirs = optuna.create_study(
        storage=url, study_name="twins", directions=["maximize", "minimize", "minimize"]
    )
    theirs.add_trial(twin(make_trial(), place, [0.25, 90.0, 0.5]))
    own = {
        "trials": "number, state, datetime_start, datetime_complete",
        "trial_params": "param_name, param_value, distribution_json",
        "trial_values": "objective, value, value_type",
    }
    with sqlite3.connect(tmp_path / "study.db") as connection:
        for table, columns in own.items():
            query = f"SELECT {columns} FROM {table} WHERE trial_id = ? ORDER BY 1"
            mine, made = (connection.execute(query, (key,)).fetchall() for key in (1, 2))
            assert mine == made, table
            assert mine


def test_the_study_names_its_objectives_and_directions(study: StoredStudy, url: str) -> None:
    opened = optuna.load_study(storage=url, study_name=study.manifest.name)
    assert [direction.name for direction in opened.directions] == [
        "MAXIMIZE",
        "MINIMIZE",
        "MINIMIZE",
    ]
    assert opened.metric_names == ["ndcg@10", "bytes", "latency_ms"]


def test_attributes_are_scalars_that_the_dashboard_sorts_by(
    study: StoredStudy, make_trial: MakeTrial, url: str
) -> None:
    told = {"training": "t", "parent": 7}
    study.record(make_trial(state="failed", reason="it diverged", train_seconds=2.5, **told))
    (trial,) = optuna.load_study(storage=url, study_name="ratings").trials
    assert trial.user_attrs == {
        "digest": "digest-0",
        "model": "ease",
        "origin": "sampler",
        "reason": "it diverged",
        "training": "t",
        "parent": 7,
        "train_seconds": 2.5,
        "ndcg@10": 0.25,
        "ndcg@10 standard error": 0.01,
        "bytes": 90.0,
        "latency_ms": 0.5,
    }


def test_bounds_are_constraints_that_optuna_honours(
    study: StoredStudy, make_trial: MakeTrial, url: str
) -> None:
    poor = dict.fromkeys(("bytes", "latency_ms"), Measurement(95.0)) | {"ndcg@10": Measurement(0.1)}
    study.record(make_trial(violations={"bytes": 1.0}))
    study.record(make_trial(measurements=poor))
    study.record(make_trial(state="pruned", violations={"bytes": 5.0}))
    study.record(make_trial(state="failed", violations={}))
    opened = optuna.load_study(storage=url, study_name="ratings")
    listed = [trial.system_attrs.get("constraints") for trial in opened.trials]
    assert listed == [[1.0], [-10.0], [5.0], None]
    assert [trial.number for trial in opened.best_trials] == [1]


def test_optuna_goes_on_with_a_study_of_ours(
    study: StoredStudy, make_trial: MakeTrial, place: Place, url: str
) -> None:
    study.record(make_trial(), place=place)
    opened = optuna.load_study(storage=url, study_name="ratings")
    asked = opened.ask(dict(place.distributions))
    opened.tell(asked, [0.1, 2.0, 3.0])
    assert study.record(make_trial(), place=place) == 2
    assert [trial.number for trial in opened.get_trials(deepcopy=False)] == [0, 1, 2]


@pytest.mark.parametrize("trials", [0, 1])
def test_somebody_elses_study_is_not_taken_over(
    repository: Repository, manifest: Manifest, url: str, trials: int
) -> None:
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * 2][: 3 if trials else 1]
    theirs = optuna.create_study(storage=url, study_name="ratings", directions=directions)
    for _ in range(trials):
        theirs.add_trial(
            create_trial(
                values=[1.0, 2.0, 3.0],
                params={"x": 1},
                distributions={"x": FloatDistribution(0, 2)},
            )
        )
    with pytest.raises(StudyMismatchError, match="'ratings' that automl-rec did not make"):
        repository.create_study(manifest)


def test_a_study_half_made_by_a_killed_process_is_completed(
    repository: Repository, manifest: Manifest, make_trial: MakeTrial, url: str
) -> None:
    directions = [objective.direction for objective in manifest.objectives]
    optuna.create_study(storage=url, study_name="ratings", directions=directions)
    study = repository.create_study(manifest)
    study.record(make_trial())
    assert optuna.load_study(storage=url, study_name="ratings").metric_names is not None


def test_a_study_deleted_in_the_dashboard_is_not_searched_on(
    study: StoredStudy, make_trial: MakeTrial, url: str
) -> None:
    study.record(make_trial())
    optuna.delete_study(storage=url, study_name="ratings")
    with pytest.raises(StorageError, match="'ratings' was deleted from Optuna's tables"):
        study.record(make_trial())
    assert len(study.trials()) == 1


@pytest.mark.slow
def test_recording_costs_at_most_half_of_a_bare_optuna_loop(
    study: StoredStudy, make_trial: MakeTrial, tmp_path: Path
) -> None:
    """The figure at 1,000 trials is a sixth; the margin is for busy machines."""
    distributions: dict[str, BaseDistribution] = {
        **{f"x{index}": FloatDistribution(0, 1) for index in range(7)},
        **{f"c{index}": CategoricalDistribution(("a", "b")) for index in range(3)},
    }
    bare = optuna.create_study(
        storage=f"sqlite:///{tmp_path}/bare.db",
        sampler=optuna.samplers.RandomSampler(seed=0),
        directions=["maximize", "minimize", "minimize"],
    )
    with sqlite3.connect(tmp_path / "bare.db") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    trials = 50
    begun = time.process_time()
    for _ in range(trials):
        bare.tell(bare.ask(distributions), [0.25, 90.0, 0.5])
    theirs = time.process_time() - begun

    class Drawn:
        values = bare.trials[0].params
        distributions = bare.trials[0].distributions

    begun = time.process_time()
    for _ in range(trials):
        study.record(make_trial(), place=Drawn())
    assert time.process_time() - begun < theirs / 2
