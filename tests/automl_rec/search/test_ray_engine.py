"""Trials on real Ray clusters of this machine."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from ray.cluster_utils import Cluster

from automl_rec import export
from automl_rec.data import Prepared, prepare
from automl_rec.objectives import resolve
from automl_rec.registry import Registry
from automl_rec.search.engine import Engine, Event, Failed, Finished, Job, Reported, Setup, Started
from automl_rec.search.enumeration import configurations
from automl_rec.search.local import LocalEngine
from automl_rec.search.ray_engine import RayEngine
from automl_rec.space.checker import read_space
from automl_rec.space.space import Resources
from automl_rec.testing.planted import planted_interactions

pytestmark = pytest.mark.slow

SECONDS = 120.0
SLOW = "{{slow: {{level: {levels}, epochs: {epochs}, batch_size: 1024, learning_rate: 0.01}}}}"
HEAD = """
data: {path: events.csv, split: {kind: random, validation: 0.2, test: 0.2}}
objectives: {ndcg@10: maximize, bytes: minimize}
"""
NO_AUTHENTICATION = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(scope="module")
def cluster(unruly_for_all: Path) -> Iterator[Cluster]:
    """One machine with two processors and one ticket, whose workers know the unruly models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(unruly_for_all))
        for name, value in NO_AUTHENTICATION.items():
            patch.setenv(name, value)
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "resources": {"ticket": 1}}
        )
        yield made
        made.shutdown()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Ground:
    """A study's folder and data, and the jobs of a space."""

    folder: Path
    data: Prepared
    setup: Setup

    def jobs(self, model: str, **limits: float) -> list[Job]:
        path = self.folder / "space.yaml"
        path.write_text(f"{HEAD}model: {model}\n")
        found = configurations(read_space(path, Registry.discover()))
        return [
            Job(c.digest, c.as_dict(), 7, f"trial-{c.digest}", f"run-{c.digest}", **limits)
            for c in found
        ]


@pytest.fixture
def ground(tmp_path: Path, unruly_for_all: Path) -> Ground:
    planted = planted_interactions(0, users=60, items=40, blocks=4, events=15, heldout=3)
    parts = (planted.catalog.histories, planted.heldout)
    users = np.concatenate([part.users() for part in parts])
    items = np.concatenate([part.items for part in parts])
    pl.DataFrame({"user": users, "item": items}).write_csv(tmp_path / "events.csv")
    (tmp_path / "space.yaml").write_text(f"{HEAD}model: popularity\n")
    space = read_space(tmp_path / "space.yaml", Registry.discover())
    data = prepare(space.data, tmp_path / "prepared")
    objectives = tuple(asdict(o) for o in resolve(space.objectives, space.data.task))
    folder = tmp_path / "study"
    paths = (str(folder / "artefacts"), str(folder / "trainings"))
    return Ground(tmp_path, data, Setup(str(data.folder), objectives, *paths))


@pytest.fixture
def engine(cluster: Cluster, tmp_path: Path) -> Iterator[RayEngine]:
    logs = tmp_path / "study" / "logs"
    with closing(RayEngine(2, logs, Resources(cpus=1), cluster.address, 0.5)) as engine:
        yield engine


def run(
    engine: Engine, jobs: Sequence[Job], proceed: Callable[[Reported], bool] = lambda _: True
) -> dict[str, list[Event]]:
    """Runs jobs to their end; gives the events of each, by digest."""
    heard: dict[str, list[Event]] = defaultdict(list)
    waiting, running, deadline = list(jobs), set[str](), time.monotonic() + SECONDS
    while waiting or running:
        while waiting and len(running) < engine.workers:
            engine.start(waiting[0])
            running.add(waiting.pop(0).run)
        assert time.monotonic() < deadline, heard
        for event in engine.wait(1.0):
            heard[event.job.digest].append(event)
            if isinstance(event, Reported):
                engine.answer(event.job, proceed=proceed(event))
            elif isinstance(event, Finished | Failed):
                running.remove(event.job.run)
    return heard


def wait_for(engine: Engine, kind: type[Event], times: int = 1) -> list[Event]:
    """All events until so many of a kind."""
    heard: list[Event] = []
    deadline = time.monotonic() + SECONDS
    while sum(isinstance(event, kind) for event in heard) < times:
        assert time.monotonic() < deadline, heard
        heard += engine.wait(1.0)
    return heard


def behaviour(job: Job) -> str:
    return str(job.configuration["model"]["unruly"]["behaviour"])


def test_misbehaving_trials_are_told_as_by_the_local_engine(
    engine: RayEngine, ground: Ground, unruly_for_all: Path
) -> None:
    jobs = ground.jobs("{unruly: {level: 0, behaviour: [fine, raise, die, die-once, print, nan]}}")
    engine.open(ground.setup)
    heard = run(engine, jobs)
    flag = Path(os.environ["UNRULY_FLAG"])
    assert flag.exists()
    told = {behaviour(job): heard[job.digest][-1] for job in jobs}
    with closing(LocalEngine(1, ground.folder / "local")) as local:
        local.open(ground.setup)
        expected = run(local, [job for job in jobs if behaviour(job) != "die"])
    for job in jobs:
        name, last = behaviour(job), told[behaviour(job)]
        assert isinstance(heard[job.digest][0], Started)
        if name == "die":
            assert isinstance(last, Failed)
            assert last.how == "died"
            assert last.reason == (
                "It was lost, and again when it was run anew, because its worker process has died."
            )
            # Once more than the local engine, and no more often.
            assert [type(event) for event in heard[job.digest]] == [Started, Started, Failed]
            continue
        like = expected[job.digest][-1]
        assert type(last) is type(like)
        if isinstance(last, Finished) and isinstance(like, Finished):
            assert last.measurements == like.measurements
            assert last.artefact == like.artefact
            assert last.artefact_sha256 == like.artefact_sha256
            assert export.sha256(Path(last.artefact)) == last.artefact_sha256
        elif isinstance(last, Failed) and isinstance(like, Failed):
            assert (last.how, last.reason) == (like.how, like.reason)
    assert [type(e) for e in heard[next(j.digest for j in jobs if behaviour(j) == "die-once")]] == [
        Started,
        Started,
        Finished,
    ]


def test_a_training_waits_for_its_answer_and_ends_itself_when_told(
    engine: RayEngine, ground: Ground
) -> None:
    stopped, whole = ground.jobs(SLOW.format(levels="[0, 1]", epochs=3))
    engine.open(ground.setup)
    heard = run(engine, [stopped, whole], lambda event: event.job == whole or event.epoch < 2)
    first, last = heard[stopped.digest], heard[stopped.digest][-1]
    assert [event.epoch for event in first if isinstance(event, Reported)] == [1, 2]
    assert isinstance(last, Finished)
    assert last.stopped == "early"
    assert last.artefact == ""
    assert [point[0] for point in last.curve] == [1, 2]
    last = heard[whole.digest][-1]
    assert isinstance(last, Finished)
    assert last.stopped is None
    reported = [event for event in heard[whole.digest] if isinstance(event, Reported)]
    assert [(event.epoch, event.quality) for event in reported] == [p[:2] for p in last.curve]
    assert [event.epochs for event in reported] == [3, 3, 3]


def test_no_answer_no_next_epoch(engine: RayEngine, ground: Ground) -> None:
    (job,) = ground.jobs(SLOW.format(levels="[0]", epochs=3))
    engine.open(ground.setup)
    engine.start(job)
    assert sum(isinstance(event, Reported) for event in wait_for(engine, Reported)) == 1
    later = time.monotonic() + 3
    while time.monotonic() < later:
        assert engine.wait(0.5) == []


def test_a_trial_beyond_its_end_is_ended_and_its_place_is_free(
    engine: RayEngine, ground: Ground
) -> None:
    (sleeper,) = ground.jobs("{unruly: {level: 0, behaviour: sleep}}", end=1.0)
    (fine,) = ground.jobs("{unruly: {level: 0, behaviour: fine}}")
    engine.open(ground.setup)
    heard = run(engine, [sleeper])
    reason = "It ran 0.5 s beyond its 1 s and was ended."
    assert heard[sleeper.digest][-1] == Failed(sleeper, "ray-0", "overtime", reason)
    assert isinstance(run(engine, [fine])[fine.digest][-1], Finished)


def test_nothing_more_is_told_of_a_cancelled_trial(engine: RayEngine, ground: Ground) -> None:
    (sleeper,) = ground.jobs("{unruly: {level: 0, behaviour: sleep}}")
    (fine,) = ground.jobs("{unruly: {level: 0, behaviour: fine}}")
    engine.open(ground.setup)
    engine.start(sleeper)
    wait_for(engine, Started)
    engine.cancel(sleeper)
    heard = run(engine, [fine])
    assert list(heard) == [fine.digest]
    assert isinstance(heard[fine.digest][-1], Finished)
    assert engine.wait(2.0) == []


def test_custom_resources_are_asked_for(cluster: Cluster, ground: Ground) -> None:
    jobs = ground.jobs(SLOW.format(levels="[0, 1]", epochs=1))
    resources = Resources(cpus=1, custom={"ticket": 1})
    with closing(RayEngine(2, ground.folder / "logs", resources, cluster.address)) as engine:
        engine.open(ground.setup)
        for job in jobs:
            engine.start(job)
        heard = wait_for(engine, Reported)
        # There is one ticket: the other trial cannot have begun, with a processor to spare.
        assert [type(event) for event in heard] == [Started, Reported]
        assert [type(event) for event in engine.wait(3.0)] == []
        engine.answer(heard[0].job, proceed=True)
        assert [type(event) for event in wait_for(engine, Started)] == [Finished, Started]


@pytest.mark.parametrize("cpus", [1, 2])
def test_threads_follow_the_processors_of_a_trial(
    cluster: Cluster, ground: Ground, cpus: int
) -> None:
    (job,) = ground.jobs("{unruly: {level: 0, behaviour: threads}}")
    logs = ground.folder / "logs"
    with closing(RayEngine(1, logs, Resources(cpus=cpus), cluster.address)) as engine:
        engine.open(ground.setup)
        run(engine, [job])
    (log,) = logs.glob("*.log")
    assert f"threads {cpus} {cpus} {cpus} 2000\n" in log.read_text()
