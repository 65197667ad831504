"""Trials go in and come out unchanged, once."""

import json
import math
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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
    TrialRecord,
)
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy

MakeTrial = Callable[..., FinishedTrial]
HERE = Owner.current()
ELSEWHERE = Owner("another-machine", 1, 0.0)
CURVE = (CurvePoint(1, 0.1, 0.01, 1.5), CurvePoint(2, 0.2, None, 3.0))


def recorded(trial: FinishedTrial, number: int) -> TrialRecord:
    fields = {name: getattr(trial, name) for name in asdict(trial)}
    return TrialRecord(number=number, **fields)


def running(uuid: str, **fields: Any) -> RunningTrial:
    return RunningTrial(
        **{
            "uuid": uuid,
            "digest": f"digest of {uuid}",
            "configuration": {"model": {"ease": {}}},
            "seed": 5,
            "origin": "baseline",
            "owner": HERE,
            "started": 100.0,
            "heartbeat": 100.0,
            **fields,
        }
    )


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


def test_studies_of_one_database_are_numbered_apart(
    repository: Repository, manifest: Manifest, make_trial: MakeTrial
) -> None:
    first = repository.create_study(manifest)
    second = repository.create_study(replace(manifest, name="other"))
    numbers = [s.record(make_trial(), curve=CURVE) for s in (first, second, second, first)]
    assert numbers == [0, 0, 1, 1]
    assert [len(s.trials()) for s in (first, second)] == [2, 2]
    assert list(second.curves()) == [0, 1]


def test_a_trial_recorded_twice_stands_once(study: StoredStudy, make_trial: MakeTrial) -> None:
    trial, other = make_trial(), make_trial()
    numbers = [study.record(t, curve=CURVE) for t in (trial, other, trial)]
    assert numbers == [0, 1, 0]
    assert len(study.trials()) == 2


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
    study.start(running("uuid-0"))
    twice = [CurvePoint(1, 0.1, None, 1.0)] * 2
    with pytest.raises(StorageError, match="UNIQUE constraint failed"):
        study.record(make_trial(), curve=twice)
    assert study.trials() == []
    assert [trial.uuid for trial in study.running()] == ["uuid-0"]
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


def test_artefacts_are_forgotten_by_number(study: StoredStudy, make_trial: MakeTrial) -> None:
    for _ in range(3):
        study.record(make_trial(artefact=Artefact("here", "0" * 64, 1)))
    study.forget_artefacts([0, 2])
    assert [trial.artefact is None for trial in study.trials()] == [True, False, True]


def test_running_trials_are_read_back_until_recorded(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    later = running("uuid-0", started=101.0, worker="worker 1", attempt=2, curve=CURVE)
    earlier = running("other")
    study.start(later)
    study.start(earlier)
    assert study.running() == [earlier, later]
    study.record(make_trial())
    assert study.running() == [earlier]


def test_starting_again_replaces_the_running_trial(study: StoredStudy) -> None:
    first = running("one", curve=CURVE)
    again = replace(first, attempt=2, curve=(), owner=ELSEWHERE)
    study.start(first)
    study.start(again)
    assert study.running() == [again]


def test_a_heartbeat_renews_the_trials_it_names(study: StoredStudy) -> None:
    study.acquire(HERE, 100.0, 60.0)
    for uuid in ("one", "two"):
        study.start(running(uuid))
    study.heartbeat(HERE, 107.0, {"two": CURVE})
    one, two = study.running()
    assert (one.heartbeat, one.curve) == (100.0, ())
    assert (two.heartbeat, two.curve) == (107.0, CURVE)


def test_a_process_that_was_taken_over_learns_it_from_its_next_heartbeat(
    study: StoredStudy,
) -> None:
    study.acquire(ELSEWHERE, 100.0, 60.0)
    study.start(running("one", owner=ELSEWHERE))
    study.acquire(HERE, 161.0, 60.0)
    with pytest.raises(StorageError, match="taken over by another process"):
        study.heartbeat(ELSEWHERE, 162.0, {"one": CURVE})
    assert study.running()[0].heartbeat == 100.0


def test_a_study_is_searched_by_one_process_at_a_time(study: StoredStudy) -> None:
    study.acquire(ELSEWHERE, 100.0, 60.0)
    with pytest.raises(StorageError, match="searched by process 1 on another-machine") as refused:
        study.acquire(HERE, 160.0, 60.0)
    assert "--study NEWNAME" in str(refused.value)
    study.release(HERE)
    with pytest.raises(StorageError, match="searched by process 1"):
        study.acquire(HERE, 160.0, 60.0)
    study.release(ELSEWHERE)
    study.acquire(HERE, 160.0, 60.0)


def test_the_lease_of_a_silent_process_is_taken_over(study: StoredStudy) -> None:
    study.acquire(ELSEWHERE, 100.0, 60.0)
    study.heartbeat(ELSEWHERE, 150.0, {})
    with pytest.raises(StorageError, match="being searched"):
        study.acquire(HERE, 205.0, 60.0)
    study.acquire(HERE, 211.0, 60.0)
    with pytest.raises(StorageError, match=f"process {HERE.pid}"):
        study.acquire(ELSEWHERE, 212.0, 60.0)


def test_the_lease_of_an_ended_process_is_taken_over_at_once(study: StoredStudy) -> None:
    study.acquire(replace(HERE, started=0.0), 100.0, 60.0)
    study.acquire(HERE, 100.0, 60.0)


def test_json_columns_hold_plain_json(
    study: StoredStudy, make_trial: MakeTrial, tmp_path: Path
) -> None:
    study.record(make_trial())
    with sqlite3.connect(tmp_path / "study.db") as connection:
        (text,) = connection.execute("SELECT measurements FROM automl_rec_trial").fetchone()
    assert json.loads(text)["ndcg@10"] == {"value": 0.25, "standard_error": 0.01}
