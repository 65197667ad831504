"""Trials go in and come out unchanged, once."""

import json
import math
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from automl_rec.errors import StorageError
from automl_rec.objectives.objective import Measurement
from automl_rec.storage.mirror import Place
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import (
    Artefact,
    CurvePoint,
    FinishedTrial,
    Manifest,
    RunningTrial,
    StoredBudget,
    TrialRecord,
)
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy

MakeTrial = Callable[..., FinishedTrial]
BOTH = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
CURVE = (CurvePoint(1, 0.1, 0.01, 1.5), CurvePoint(2, 0.2, None, 3.0))


def recorded(trial: FinishedTrial, number: int) -> TrialRecord:
    fields = {name: getattr(trial, name) for name in asdict(trial)}
    return TrialRecord(number=number, **fields)


@BOTH
def test_every_field_of_a_trial_is_read_back(
    study: StoredStudy, make_trial: MakeTrial, place: Place
) -> None:
    full = make_trial(
        reason="a reason",
        worker="worker 2",
        train_seconds=1.25,
        parent=0,
        artefact=Artefact("artefacts/abc", "f" * 64, 2**40),
    )
    bare = make_trial(state="failed", measurements={}, violations={})
    assert study.record(full, place=place, curve=CURVE) == 0
    assert study.record(bare) == 1
    assert study.trials() == [recorded(full, 0), recorded(bare, 1)]
    assert study.curves() == {0: CURVE}


@BOTH
def test_studies_of_one_database_are_numbered_apart(
    repository: Repository, manifest: Manifest, make_trial: MakeTrial
) -> None:
    first = repository.create_study(manifest)
    second = repository.create_study(replace(manifest, name="other"))
    numbers = [s.record(make_trial(), curve=CURVE) for s in (first, second, second, first)]
    assert numbers == [0, 0, 1, 1]
    assert [len(s.trials()) for s in (first, second)] == [2, 2]
    assert list(second.curves()) == [0, 1]


@BOTH
def test_a_trial_recorded_twice_stands_once(study: StoredStudy, make_trial: MakeTrial) -> None:
    trial, other = make_trial(), make_trial()
    numbers = [study.record(t, curve=CURVE) for t in (trial, other, trial)]
    assert numbers == [0, 1, 0]
    assert len(study.trials()) == 2


@BOTH
def test_what_is_not_a_number_survives_a_database_without_nan(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    diverged = make_trial(
        state="failed", measurements={"ndcg@10": Measurement(math.nan), "bytes": Measurement(8.0)}
    )
    study.record(diverged, curve=[CurvePoint(1, math.nan, None, 1.0)])
    (read,) = study.trials()
    assert math.isnan(read.measurements["ndcg@10"].value)
    assert read.measurements["bytes"] == Measurement(8.0)
    assert math.isnan(study.curves()[0][0].quality)


def test_a_trial_that_cannot_be_written_leaves_nothing(
    study: StoredStudy, make_trial: MakeTrial, tmp_path: Path
) -> None:
    worker = study.claims.join(Owner.current())
    mine = RunningTrial(
        uuid="uuid-0", digest="digest-0", configuration={}, seed=0, origin="sampler", started=0.0
    )
    assert study.claims.claim(mine, worker) == "taken"
    twice = [CurvePoint(1, 0.1, None, 1.0)] * 2
    with pytest.raises(StorageError, match="UNIQUE constraint failed"):
        study.record(make_trial(), worker=worker, curve=twice)
    assert study.trials() == []
    assert [trial.uuid for trial in study.claims.running()] == ["uuid-0"]
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (0,)


def test_a_complete_trial_without_a_finite_value_is_a_bug(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    measurements = {
        "ndcg@10": Measurement(math.inf),
        "bytes": Measurement(1.0),
        "latency_ms": Measurement(1.0),
    }
    with pytest.raises(AssertionError, match="finite values"):
        study.record(make_trial(measurements=measurements))
    assert study.trials() == []


@BOTH
def test_trials_are_counted_by_state_and_derived_ones_apart(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    for fields in ({}, {"origin": "derived", "parent": 0}, {"state": "failed"}):
        study.record(make_trial(**fields))
    assert study.counts() == {"complete": 2, "failed": 1}
    assert study.derived() == 1


def test_artefacts_are_forgotten_by_number(study: StoredStudy, make_trial: MakeTrial) -> None:
    for _ in range(3):
        study.record(make_trial(artefact=Artefact("here", "0" * 64, 1)))
    study.forget_artefacts([0, 2])
    assert [trial.artefact is None for trial in study.trials()] == [True, False, True]


def test_json_columns_hold_plain_json(
    study: StoredStudy, make_trial: MakeTrial, tmp_path: Path
) -> None:
    study.record(make_trial())
    with sqlite3.connect(tmp_path / "study.db") as connection:
        (text,) = connection.execute("SELECT measurements FROM automl_rec_trial").fetchone()
    assert json.loads(text)["ndcg@10"] == {"value": 0.25, "standard_error": 0.01}


@BOTH
def test_only_what_was_recorded_since_is_read(study: StoredStudy, make_trial: MakeTrial) -> None:
    for _ in range(3):
        study.record(make_trial(), curve=CURVE)
    assert [trial.number for trial in study.trials(after=0)] == [1, 2]
    assert study.trials(after=2) == []
    assert study.curves(1) == {1: CURVE}


@BOTH
def test_a_configuration_that_another_recorded_is_not_recorded_again(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    assert study.record(make_trial(digest="same")) == 0
    assert study.record(make_trial(digest="same")) is None
    assert len(study.trials()) == 1


@BOTH
def test_a_budget_is_what_was_said_last(study: StoredStudy) -> None:
    assert study.budget() == StoredBudget()
    study.set_budget(StoredBudget(10, 60.5, None))
    study.set_budget(StoredBudget(20, None, 1.5))
    assert study.budget() == StoredBudget(20, None, 1.5)


@BOTH
def test_an_extended_study_keeps_what_it_was_made_from(
    study: StoredStudy, repository: Repository, manifest: Manifest
) -> None:
    study.extend(replace(manifest, created=1.0, seed=1))
    assert study.manifest == manifest
    wider = replace(manifest, space_digest="wider", space_text="all", plugins={"acme": "2"})
    study.extend(wider)
    found = repository.study("ratings").manifest
    assert (found.space_digest, found.space_text, found.plugins) == ("wider", "all", {"acme": "2"})
    (before,) = found.earlier
    assert before["space_digest"] == "space-1"
    assert before["plugins"] == {"automl-rec": "0.1.0"}
    assert found.created == manifest.created
    assert found == study.manifest
