"""Worker processes: as they are started, and what becomes of those that misbehave."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from automl_rec.errors import SpaceError
from automl_rec.search.engine import Event, Failed, Finished, Job, Reported, Setup, Started
from automl_rec.search.local import LocalEngine, default_workers, processors
from automl_rec.search.worker import SACRIFICE
from automl_rec.space.space import Resources

SILENCE = 8.0
NOTICED = 4.0
"""Within so many seconds a worker that has become too large, or has been silent for too long, is
ended: the engine looks once a second, on a machine that may be busy."""


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def tree() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def job(model: str, digest: str = "one") -> Job:
    """A model by its name, or by what the unruly one does."""
    found = model if model in ("popularity", "slow") else "unruly"
    training = {"learning_rate": 0.001, "batch_size": 2048, "epochs": 9, "patience": 9}
    values = {"popularity": {}, "slow": {"level": 0, **training, "evaluate_every": 1}}
    configuration = {"model": {found: values.get(found, {"behaviour": model, "level": 0})}}
    return Job(digest, configuration, seed=1, training=digest, run=digest)


def heard(engine: LocalEngine) -> Iterator[Event]:
    """What happens, one by one."""
    last = time.monotonic()
    while time.monotonic() < last + 120:
        for event in engine.wait(1.0):
            yield event
            last = time.monotonic()
    raise AssertionError("nothing happens any more")


def outcome(engine: LocalEngine, started: Job) -> tuple[Event, float]:
    """How a job ended, and how many seconds after it had begun."""
    engine.start(started)
    events = heard(engine)
    assert isinstance(next(events), Started)
    began = time.monotonic()
    return next(events), time.monotonic() - began


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    before = children()
    with closing(LocalEngine(2, tmp_path)):
        yield [child.environ() for child in children() - before]


def test_processors_are_divided_and_threads_do_not_spin_for_long(
    environments: list[dict[str, str]],
) -> None:
    assert len(environments) == 2
    for environment in environments:
        assert environment["OMP_NUM_THREADS"] == str(max(1, processors() // 2))
        assert environment["GOMP_SPINCOUNT"] == "2000"


def test_what_the_user_says_of_openmp_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    before = children()
    with closing(LocalEngine(1, tmp_path)):
        (child,) = children() - before
        assert child.environ()["GOMP_SPINCOUNT"] == "7"


def test_a_worker_has_as_many_threads_as_a_trial_may_have_processors(tmp_path: Path) -> None:
    before = children()
    with closing(LocalEngine(2, tmp_path, Resources(cpus=3))):
        for child in children() - before:
            assert child.environ()["OMP_NUM_THREADS"] == "3"


def test_there_are_as_many_workers_as_the_processors_are_enough_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {}
    for there in (1, 2, 7, 64):
        monkeypatch.setattr("automl_rec.search.local.processors", lambda there=there: there)
        found[there] = [default_workers(cpus) for cpus in (None, 1, 2, 4)]
    assert found == {1: [1, 1, 1, 1], 2: [2, 2, 1, 1], 7: [7, 7, 3, 1], 64: [8, 8, 8, 8]}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            Resources(gpus=0.5),
            r"resources\.gpus must be 0 .*, got 0\.5\. Search with --engine ray,",
        ),
        (Resources(custom={"fpga": 1.0}), r"custom must be left out .*, got fpga\. Search with"),
    ],
)
def test_what_only_a_cluster_has_is_refused(
    resources: Resources, message: str, tmp_path: Path
) -> None:
    before = children()
    with pytest.raises(SpaceError, match=message):
        LocalEngine(1, tmp_path, resources)
    assert children() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process go first")
def test_the_kernel_takes_a_worker_before_the_search(setup: Setup, tmp_path: Path) -> None:
    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    before, own = children(), score(os.getpid())
    with closing(LocalEngine(1, tmp_path)) as engine:
        engine.open(setup)
        (child,) = children() - before
        assert isinstance(outcome(engine, job("popularity"))[0], Finished)
        assert score(child.pid) == SACRIFICE
        assert score(os.getpid()) == own


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
@pytest.mark.parametrize("behaviour", ["allocate", "allocate-in-child"])
def test_a_trial_beyond_its_memory_is_ended_and_others_go_on(
    behaviour: str, setup: Setup, tmp_path: Path
) -> None:
    before = tree()
    with closing(LocalEngine(1, tmp_path, Resources(memory=800_000_000))) as engine:
        engine.open(setup)
        failed, seconds = outcome(engine, job(behaviour))
        assert isinstance(failed, Failed)
        assert failed.how == "memory"
        assert failed.reason.startswith("It used ")
        said = "of memory, more than the 800 MB that resources.memory allows, and was ended."
        assert failed.reason.endswith(said)
        # It takes a gigabyte as fast as it can be written, within some seconds.
        assert seconds < 5 + NOTICED
        assert isinstance(outcome(engine, job("fine", "two"))[0], Finished)
        assert len(tree() - before) == 1
    assert tree() <= before


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
def test_a_trial_within_its_memory_is_left_alone(setup: Setup, tmp_path: Path) -> None:
    with closing(LocalEngine(1, tmp_path, Resources(memory=800_000_000))) as engine:
        engine.open(setup)
        found, seconds = outcome(engine, job("nap"))
        assert isinstance(found, Finished)
        assert seconds > 12


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
@pytest.mark.parametrize("behaviour", ["stop", "hold"])
def test_a_silent_worker_is_ended_and_others_go_on(
    behaviour: str, setup: Setup, tmp_path: Path
) -> None:
    before = tree()
    with closing(LocalEngine(1, tmp_path, silence_seconds=SILENCE)) as engine:
        engine.open(setup)
        failed, seconds = outcome(engine, job(behaviour))
        assert isinstance(failed, Failed)
        assert (failed.how, failed.worker) == ("died", "worker-0")
        assert failed.reason.startswith("Its worker was silent for ")
        assert failed.reason.endswith(" s and was ended.")
        assert SILENCE - NOTICED < seconds < SILENCE + NOTICED
        assert isinstance(outcome(engine, job("fine", "two"))[0], Finished)
    assert tree() <= before


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
def test_a_busy_worker_and_one_that_waits_for_an_answer_are_not_silent(
    setup: Setup, tmp_path: Path
) -> None:
    with closing(LocalEngine(1, tmp_path, silence_seconds=SILENCE)) as engine:
        engine.open(setup)
        found, seconds = outcome(engine, job("nap"))
        assert isinstance(found, Finished)
        assert seconds > SILENCE
        slow = job("slow", "two")
        engine.start(slow)
        events = heard(engine)
        assert isinstance(next(events), Started)
        assert isinstance(next(events), Reported)
        end = time.monotonic() + SILENCE + NOTICED
        while time.monotonic() < end:
            assert engine.wait(1.0) == []
        engine.answer(slow, proceed=False)
        assert isinstance(next(events), Finished)


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
def test_an_engine_that_did_not_listen_takes_nobody_for_silent(
    setup: Setup, tmp_path: Path
) -> None:
    before = children()
    with closing(LocalEngine(1, tmp_path, silence_seconds=SILENCE)) as engine:
        engine.open(setup)
        assert isinstance(outcome(engine, job("fine"))[0], Finished)
        (child,) = children() - before
        engine.start(job("nap", "two"))
        events = heard(engine)
        assert isinstance(next(events), Started)
        # All stand still, as when a machine sleeps: the worker says nothing meanwhile.
        child.suspend()
        time.sleep(SILENCE + NOTICED)
        assert engine.wait(0.0) == []
        child.resume()
        assert isinstance(next(events), Finished)


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
def test_a_worker_that_does_not_become_ready_is_replaced_and_its_job_is_not_lost(
    setup: Setup, tmp_path: Path
) -> None:
    before = children()
    with closing(LocalEngine(1, tmp_path, start_seconds=20.0)) as engine:
        (child,) = children() - before
        child.suspend()
        engine.open(setup)
        found, _ = outcome(engine, job("fine"))
        assert isinstance(found, Finished)
        assert child not in children()


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
def test_a_worker_is_missed_even_where_a_child_of_it_keeps_its_pipe(
    setup: Setup, tmp_path: Path
) -> None:
    with closing(LocalEngine(1, tmp_path)) as engine:
        engine.open(setup)
        failed, seconds = outcome(engine, job("die-before-child"))
        assert isinstance(failed, Failed)
        assert (failed.how, failed.reason) == ("died", "Its worker was killed by SIGKILL.")
        assert seconds < 3 + NOTICED


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
def test_a_worker_that_a_trial_left_large_gives_its_memory_back(
    setup: Setup, tmp_path: Path
) -> None:
    before = children()
    with closing(LocalEngine(1, tmp_path)) as engine:
        engine.open(setup)
        (first,) = children() - before
        assert isinstance(outcome(engine, job("fine"))[0], Finished)
        assert children() - before == {first}
        assert isinstance(outcome(engine, job("leave", "two"))[0], Finished)
        (second,) = children() - before
        assert second != first
        assert isinstance(outcome(engine, job("fine", "three"))[0], Finished)
        assert children() - before == {second}
        assert second.memory_info().rss < 1_000_000_000


@pytest.mark.slow
@pytest.mark.usefixtures("unruly")
def test_a_killed_worker_is_told_with_the_signal(setup: Setup, tmp_path: Path) -> None:
    with closing(LocalEngine(1, tmp_path)) as engine:
        engine.open(setup)
        failed, _ = outcome(engine, job("die"))
        assert isinstance(failed, Failed)
        assert failed.reason == f"Its worker was killed by {signal.SIGKILL.name}."
