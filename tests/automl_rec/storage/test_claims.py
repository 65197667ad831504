"""A trial is one process's at a time, whatever becomes of the process."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from automl_rec.errors import StorageError
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import (
    DERIVED,
    CurvePoint,
    FinishedTrial,
    RunningTrial,
    StoredBudget,
)
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy
from automl_rec.storage.tables import WorkerRow

MakeTrial = Callable[..., FinishedTrial]
HERE = Owner.current()
ELSEWHERE = Owner("another-machine", 1, 0.0)
ENDED = replace(HERE, started=0.0)
CURVE = (CurvePoint(1, 0.1, 0.01, 1.5), CurvePoint(2, 0.2, None, 3.0))
pytestmark = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


def running(uuid: str, **fields: Any) -> RunningTrial:
    return RunningTrial(
        **{
            "uuid": uuid,
            "digest": f"digest of {uuid}",
            "configuration": {"model": {"ease": {}}},
            "seed": 5,
            "origin": "baseline",
            "started": 100.0,
            **fields,
        }
    )


def silence(study: StoredStudy, worker: int, seconds: float) -> None:
    """Makes a process's last heartbeat older."""

    def change(connection: Any) -> None:
        then = study._database.now(connection) - seconds
        aged = update(WorkerRow).where(WorkerRow.id == worker).values(heartbeat=then)
        connection.execute(aged)

    study._database.write(change)


def test_a_claimed_trial_is_read_back_until_it_is_recorded(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    claims, worker = study.claims, study.claims.join(HERE)
    later, earlier = running("later", started=101.0, attempt=2), running("earlier", parent=3)
    assert [claims.claim(trial, worker) for trial in (later, earlier)] == ["taken"] * 2
    assert claims.running() == [replace(t, owner=worker) for t in (earlier, later)]
    mine = make_trial(uuid="later", digest=later.digest, worker="w")
    assert study.record(mine, worker=worker) == 0
    assert claims.running() == [replace(earlier, owner=worker)]


def test_a_configuration_is_claimed_once(study: StoredStudy, make_trial: MakeTrial) -> None:
    claims = study.claims
    one, other = claims.join(HERE), claims.join(ELSEWHERE, "worker")
    assert claims.claim(running("a"), one) == "taken"
    # A connection that broke after the commit lets the same claim be made again.
    assert claims.claim(running("a"), one) == "taken"
    assert claims.claim(running("b", digest="digest of a"), other) == "running"
    assert claims.claim(running("b", digest="digest of a"), one) == "running"
    study.record(make_trial(uuid="a", digest="digest of a", worker="w"), worker=one)
    assert claims.claim(running("b", digest="digest of a"), other) == "known"
    assert len(claims.running()) == 0


def test_no_more_trials_are_claimed_than_the_budget_has(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    claims, worker = study.claims, study.claims.join(HERE)
    assert claims.room() is None
    study.set_budget(StoredBudget(trials=3))
    study.record(make_trial(worker="w"))
    # What was refused before training does not count.
    study.record(make_trial(state="pruned"))
    assert claims.room() == 2
    assert [claims.claim(running(uuid), worker) for uuid in "abc"] == ["taken", "taken", "full"]
    study.set_budget(StoredBudget(trials=4))
    assert claims.claim(running("c"), worker) == "taken"
    assert claims.room() == 0


def test_derived_trials_take_no_room(study: StoredStudy, make_trial: MakeTrial) -> None:
    claims, worker = study.claims, study.claims.join(HERE)
    study.set_budget(StoredBudget(trials=1))
    study.record(make_trial(worker="w", origin=DERIVED, parent=0))
    assert claims.claim(running("a", origin=DERIVED), worker) == "taken"
    assert claims.room() == 1
    assert claims.claim(running("b"), worker) == "taken"
    assert claims.claim(running("c"), worker) == "full"
    assert claims.claim(running("d", origin=DERIVED), worker) == "taken"


def test_the_room_left_is_that_of_a_fresh_count_whoever_records(
    repository: Repository, study: StoredStudy, make_trial: MakeTrial
) -> None:
    other = repository.study(study.manifest.name)
    study.set_budget(StoredBudget(trials=100))
    workers = {study: study.claims.join(HERE), other: other.claims.join(ELSEWHERE, "worker")}
    for step in range(12):
        one = (study, other)[step % 2]
        if step % 3 == 0:
            one.record(make_trial(state="pruned"))
        else:
            trial = running(str(step))
            assert one.claims.claim(trial, workers[one]) == "taken"
            if step % 4:
                ended = make_trial(uuid=trial.uuid, digest=trial.digest, worker="w")
                assert one.record(ended, worker=workers[one]) is not None
        ran = sum(trial.worker is not None for trial in study.trials())
        left = 100 - ran - len(study.claims.running())
        assert [process.claims.room() for process in (study, other)] == [left, left], step
    assert ran == 6


def test_what_a_leaving_process_ran_waits_for_the_next(study: StoredStudy) -> None:
    claims = study.claims
    one, other = claims.join(HERE), claims.join(ELSEWHERE, "worker")
    claims.claim(running("a"), one)
    claims.heartbeat(one, {"a": CURVE})
    assert claims.adopt(other) is None
    claims.leave(one)
    assert claims.running()[0].owner is None
    # It left in order: nothing was lost, and what was known of the curve is kept.
    assert claims.adopt(other) == running("a", owner=other, losses=0, curve=CURVE)
    assert claims.adopt(other) is None


def test_a_process_sees_that_nothing_waits_while_another_writes(study: StoredStudy) -> None:
    claims, found = study.claims, list[object]()
    claims.claim(running("a"), claims.join(HERE))
    other = claims.join(ELSEWHERE, "worker")
    looks = threading.Thread(target=lambda: found.append(claims.adopt(other)), daemon=True)
    with study._database.writing() as connection:
        study._mirror.study_id(connection, study.manifest.name)
        looks.start()
        looks.join(timeout=10)
        assert found == [None]


@pytest.mark.parametrize("lost", [ENDED, ELSEWHERE])
def test_what_a_lost_process_ran_is_adopted_once(study: StoredStudy, lost: Owner) -> None:
    claims = study.claims
    gone = claims.join(lost, "worker", lease_seconds=60)
    claims.claim(running("a"), gone)
    first, second = claims.join(HERE), claims.join(replace(ELSEWHERE, pid=2), "worker")
    if lost is ELSEWHERE:
        silence(study, gone, 59)
        assert claims.adopt(first) is None
        silence(study, gone, 61)
    found = [claims.adopt(worker) for worker in (first, second)]
    assert found == [running("a", owner=first, losses=1), None]


def test_a_process_that_comes_back_learns_what_it_lost_and_its_result_is_refused(
    study: StoredStudy, make_trial: MakeTrial
) -> None:
    claims = study.claims
    stopped = claims.join(ELSEWHERE, "worker", lease_seconds=60)
    for uuid in ("a", "b"):
        claims.claim(running(uuid), stopped)
    silence(study, stopped, 100)
    other = claims.join(HERE)
    assert claims.adopt(other) is not None
    late = make_trial(uuid="a", digest="digest of a", worker="stopped")
    assert claims.heartbeat(stopped, {"a": CURVE, "b": CURVE}) == {"b"}
    assert study.record(late, worker=stopped) is None
    assert study.trials() == []
    assert {t.uuid: (t.owner, t.curve) for t in claims.running()} == {
        "a": (other, ()),
        "b": (stopped, CURVE),
    }
    assert study.record(replace(late, worker="other"), worker=other, curve=CURVE) == 0
    assert study.record(late, worker=stopped) == 0
    assert [trial.worker for trial in study.trials()] == ["other"]
    # After its heartbeat it is alive again, and keeps what is left to it.
    assert claims.adopt(other) is None


def test_a_released_trial_waits_and_another_process_cannot_release_it(study: StoredStudy) -> None:
    claims = study.claims
    one, other = claims.join(HERE), claims.join(ELSEWHERE, "worker")
    claims.claim(running("a"), one)
    claims.release("a", other)
    assert claims.running()[0].owner == one
    claims.release("a", one, attempt=2)
    assert claims.adopt(other) == running("a", owner=other, attempt=2)


def test_a_study_is_searched_by_one_process_and_joined_by_many(study: StoredStudy) -> None:
    claims = study.claims
    search = claims.join(ELSEWHERE)
    with pytest.raises(StorageError, match="searched by process 1 on another-machine") as refused:
        claims.join(HERE)
    assert "automl-rec worker ratings" in str(refused.value)
    assert claims.join(HERE, "worker") != search
    claims.leave(search)
    claims.join(HERE)


@pytest.mark.parametrize("lost", [ENDED, ELSEWHERE])
def test_a_lost_search_is_followed_by_another(study: StoredStudy, lost: Owner) -> None:
    claims = study.claims
    first = claims.join(lost, lease_seconds=60)
    if lost is ELSEWHERE:
        silence(study, first, 61)
    claims.join(HERE)
    with pytest.raises(StorageError, match=f"process {HERE.pid}"):
        claims.join(replace(ELSEWHERE, pid=2))


def test_workers_are_listed_with_what_they_said(study: StoredStudy) -> None:
    before = study.now()
    number = study.claims.join(
        ELSEWHERE, "worker", engine="ray", trials_at_once=4, lease_seconds=7.5
    )
    study.claims.heartbeat(number, {})
    study.claims.leave(number)
    (found,) = study.claims.workers()
    assert (found.number, found.owner, found.role, found.engine) == (
        number,
        ELSEWHERE,
        "worker",
        "ray",
    )
    assert (found.trials_at_once, found.lease_seconds) == (4, 7.5)
    assert found.left is not None
    # SQLite tells the time in milliseconds.
    assert before - 0.002 <= found.joined <= found.heartbeat <= found.left <= study.now() + 0.002


def test_a_process_that_joins_again_is_there_once(study: StoredStudy) -> None:
    first, second = (study.claims.join(HERE, "worker") for _ in range(2))
    left = {worker.number: worker.left is not None for worker in study.claims.workers()}
    assert left == {first: True, second: False}


@pytest.mark.slow
def test_claims_of_many_at_once_neither_overlap_nor_exceed_the_budget(
    study: StoredStudy, url: str
) -> None:
    study.set_budget(StoredBudget(trials=40))
    taken: list[str] = []

    def work(pid: int) -> None:
        with Repository.open(url) as repository:
            claims = repository.study("ratings").claims
            worker = claims.join(replace(ELSEWHERE, pid=pid), "worker")
            for index in range(30):
                row = running(f"{pid}-{index}", digest=f"digest {index * 2 + pid % 2}")
                if claims.claim(row, worker) == "taken":
                    taken.append(row.digest)

    threads = [threading.Thread(target=work, args=(pid,)) for pid in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40
    assert sorted(t.digest for t in study.claims.running()) == sorted(taken)
