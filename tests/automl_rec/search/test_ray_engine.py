"""Trials on real Ray clusters of this machine."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import psutil
import pytest
from ray.cluster_utils import Cluster

from automl_rec import export
from automl_rec.data import Prepared, prepare
from automl_rec.errors import SpaceError, StudyFailedError
from automl_rec.objectives import resolve
from automl_rec.registry import Registry
from automl_rec.search import ray_engine
from automl_rec.search.engine import Engine, Event, Failed, Finished, Job, Reported, Setup, Started
from automl_rec.search.enumeration import configurations
from automl_rec.search.events import StudyEvent, TrialReported
from automl_rec.search.local import LocalEngine
from automl_rec.search.ray_engine import RayEngine
from automl_rec.search.study import Study
from automl_rec.search.study import run as search
from automl_rec.space.checker import read_space
from automl_rec.space.space import Resources
from automl_rec.storage.records import TrialRecord
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

    def jobs(self, model: str, seconds: float | None = None, end: float | None = None) -> list[Job]:
        path = self.folder / "space.yaml"
        path.write_text(f"{HEAD}model: {model}\n")
        found = configurations(read_space(path, Registry.discover()))
        return [
            Job(c.digest, c.as_dict(), 7, f"training-{c.digest}", f"run-{c.digest}", seconds, end)
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
    assert [(event.epoch, event.quality) for event in reported] == [
        (epoch, quality) for epoch, quality, *_ in last.curve
    ]
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


def test_a_trial_beyond_its_memory_is_ended_at_once(cluster: Cluster, ground: Ground) -> None:
    (large,) = ground.jobs("{unruly: {level: 0, behaviour: allocate}}")
    (fine,) = ground.jobs("{unruly: {level: 0, behaviour: fine}}")
    resources = Resources(cpus=1, memory=900_000_000)
    with closing(RayEngine(1, ground.folder / "logs", resources, cluster.address)) as engine:
        engine.open(ground.setup)
        heard = run(engine, [large, fine])
    first, last = heard[large.digest]
    assert isinstance(first, Started)
    assert isinstance(last, Failed)
    assert last.how == "memory"
    assert re.fullmatch(
        r"It used 1\.\d+ GB of memory, more than the 900 MB that resources.memory allows, and was "
        r"ended\.",
        last.reason,
    )
    assert isinstance(heard[fine.digest][-1], Finished)


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


def processes_of_ray() -> dict[int, str]:
    """The processes of every Ray of this machine, those included that have no title yet."""
    return {
        process.pid: process.info["name"]
        for process in psutil.process_iter(["name", "status", "cmdline"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and (
            process.info["name"].startswith("ray::")
            or process.info["name"] in ("raylet", "gcs_server")
            or any(part.endswith("default_worker.py") for part in process.info["cmdline"] or ())
        )
    }


def begun_by(processes: Collection[int]) -> set[int]:
    """What other clusters have begun meanwhile: they keep workers ready."""
    found = set()
    for pid in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return found


def test_closing_in_the_middle_leaves_no_process(ground: Ground) -> None:
    (sleeper,) = ground.jobs("{unruly: {level: 0, behaviour: sleep}}")
    before = processes_of_ray()
    engine = RayEngine(1, ground.folder / "logs", Resources(cpus=1))
    try:
        engine.open(ground.setup)
        engine.start(sleeper)
        wait_for(engine, Started)
        started = processes_of_ray().keys() - before.keys() - begun_by(before)
        assert len(started) > 3
        listening = [
            connection.laddr.ip
            for pid in started
            for connection in psutil.Process(pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
        began = time.monotonic()
    finally:
        engine.close()
    assert time.monotonic() - began < 20
    assert not started & processes_of_ray().keys()
    assert list((ground.folder / "logs").glob(".*")) == []


def test_an_engine_closed_before_it_is_open_leaves_no_process(ground: Ground) -> None:
    before = processes_of_ray()
    RayEngine(1, ground.folder / "logs", Resources(cpus=1)).close()
    deadline = time.monotonic() + 20.0
    while left := processes_of_ray().keys() - before.keys() - begun_by(before):
        assert time.monotonic() < deadline, [processes_of_ray().get(pid) for pid in left]
        time.sleep(0.2)


def test_a_cluster_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_connect_timeout_s", "1")
    monkeypatch.setenv("RAY_gcs_server_request_timeout_seconds", "1")
    with closing(RayEngine(1, tmp_path, Resources(), "not an address")) as engine:
        setup = Setup("", (), "", "")
        with pytest.raises(StudyFailedError, match=r"Ray cannot be reached .* ray start --head"):
            engine.open(setup)


@pytest.mark.parametrize(
    ("resources", "asked", "most"),
    [
        (Resources(cpus=3), "3 CPU", "2 CPU"),
        (Resources(cpus=2, gpus=0.5), "2 CPU, 0.5 GPU", "2 CPU, 0 GPU"),
        (Resources(cpus=1, memory=9 * 10**14), "1 CPU, memory 900 TB", r"2 CPU, memory \d\S* GB"),
        (Resources(cpus=1, custom={"ticket": 2}), "1 CPU, 2 ticket", "2 CPU, 1 ticket"),
    ],
)
def test_a_trial_that_no_machine_can_hold_is_an_error(
    cluster: Cluster,
    ground: Ground,
    resources: Resources,
    asked: str,
    most: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_engine, "MACHINE_SECONDS", 1.0)
    with closing(RayEngine(1, ground.folder / "logs", resources, cluster.address)) as engine:
        expected = f"needs {asked}, all on one machine; the most .* has is {most}. Ask for less"
        with pytest.raises(StudyFailedError, match=expected):
            engine.open(ground.setup)


def test_parts_on_several_machines_hold_no_trial(
    cluster: Cluster, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "MACHINE_SECONDS", 5.0)
    gifted = cluster.add_node(num_cpus=1, resources={"gift": 1})
    logs, resources = ground.folder / "logs", Resources(cpus=1, custom={"gift": 1})
    try:
        with closing(RayEngine(1, logs, resources, cluster.address)) as engine:
            engine.open(ground.setup)
        with (
            closing(RayEngine(1, logs, replace(resources, cpus=2), cluster.address)) as engine,
            pytest.raises(StudyFailedError, match="needs 2 CPU, 1 gift, all on one machine"),
        ):
            engine.open(ground.setup)
    finally:
        cluster.remove_node(gifted)


def plain(trials: Sequence[TrialRecord]) -> set[tuple[object, ...]]:
    """All of a trial that another run repeats."""
    return {(t.number, t.digest, t.state, t.seed, str(t.measurements), t.origin) for t in trials}


def test_a_search_on_ray_gives_the_trials_of_the_local_engine_and_they_take_turns(
    cluster: Cluster, ground: Ground
) -> None:
    space = ground.folder / "space.yaml"
    models = "{ease: null, bpr-mf: {epochs: 3, width: {int: [8, 16]}}}"
    space.write_text(f"{HEAD}model: {models}\nsearch: {{workers: 2}}\nresources: {{cpus: 1}}\n")

    def go(name: str, engine: Literal["local", "ray"], trials: int) -> Study:
        address = cluster.address if engine == "ray" else None
        out = ground.folder / "runs"
        return search(
            space,
            out=out,
            name=name,
            trials=trials,
            seed=5,
            deterministic=True,
            engine=engine,
            address=address,
        )

    local, ray = go("near", "local", 6), go("far", "ray", 6)
    assert plain(ray.trials) == plain(local.trials)
    names = {t.worker.rpartition("/")[2] for t in ray.trials if t.worker}
    assert names == {"ray-0", "ray-1"}
    for trial in ray.front():
        assert trial.artefact is not None
        assert export.sha256(ray.folder / trial.artefact.path) == trial.artefact.sha256
    # What goes on is the database: nothing of Tune or of a pickle is in the folder.
    assert {path.suffix for path in ray.folder.rglob("*") if path.is_file()} <= {
        ".db",
        ".db-shm",
        ".db-wal",
        ".log",
        ".safetensors",
        "",
    }
    assert go("far", "local", 8).trials[: len(ray.trials)] == ray.trials
    assert len([t for t in go("far", "ray", 9).trials if t.worker]) == 9


def test_a_lost_machine_loses_no_trial(
    unruly_for_all: Path, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(unruly_for_all))
    for name, value in NO_AUTHENTICATION.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost = cluster.add_node(num_cpus=1)
    seen: list[StudyEvent] = []

    def listen(event: StudyEvent) -> None:
        seen.append(event)
        reports = [event for event in seen if isinstance(event, TrialReported)]
        # Two trials run, one on each machine.
        if len({report.digest for report in reports}) == 2 and cluster.worker_nodes:
            cluster.remove_node(lost, allow_graceful=False)

    space = ground.folder / "space.yaml"
    space.write_text(f"{HEAD}model: {SLOW.format(levels='[0, 1, 2, 3, 4, 5]', epochs=5)}\n")
    try:
        study = search(
            space,
            out=ground.folder / "runs",
            name="lost",
            workers=2,
            engine="ray",
            address=cluster.address,
            listeners=[listen],
        )
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
    assert not cluster.worker_nodes
    ran = [trial for trial in study.trials if trial.worker]
    assert len(ran) == 7
    assert {trial.state for trial in ran} == {"complete"}
    assert len({trial.digest for trial in ran}) == len({trial.uuid for trial in ran}) == 7
    for curve in study.curves().values():
        assert [point.epoch for point in curve] == sorted({point.epoch for point in curve})


OUT_OF_SIGHT = """
mount -t tmpfs none "$HIDDEN"
set -- --address="$ADDRESS" --num-cpus=1 --resources='{"far": 1}' --block
exec "$PYTHON" -m ray.scripts.scripts start "$@"
"""


@pytest.mark.skipif(
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "true"],
        check=False,
        capture_output=True,
    ).returncode
    != 0,
    reason="a machine that sees no folder of this one needs a namespace of mounts",
)
def test_a_machine_that_does_not_see_the_study_brings_its_model_home(
    cluster: Cluster, ground: Ground, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (job,) = ground.jobs(SLOW.format(levels="[0]", epochs=2))
    cache = tmp_path_factory.mktemp("away")
    environment = os.environ | {
        "HIDDEN": str(ground.folder),
        "ADDRESS": cluster.address,
        "PYTHON": sys.executable,
        "AUTOML_REC_CACHE": str(cache),
        **NO_AUTHENTICATION,
    }
    machine = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", OUT_OF_SIGHT],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    resources = Resources(cpus=1, custom={"far": 1})
    try:
        logs = ground.folder / "logs"
        with closing(RayEngine(1, logs, resources, cluster.address)) as engine:
            engine.open(ground.setup)
            heard = run(engine, [job])[job.digest]
    finally:
        machine.terminate()
        machine.wait(60)
    last = heard[-1]
    assert isinstance(last, Finished)
    assert Path(last.artefact).is_relative_to(ground.setup.artefacts)
    assert export.sha256(Path(last.artefact)) == last.artefact_sha256
    assert Prepared.open(cache / ground.data.digest).digest == ground.data.digest
    assert (Path(ground.setup.trainings) / job.training).is_file()
    assert list(logs.glob("*.log")) == []


def test_the_local_engine_has_no_address(ground: Ground) -> None:
    with pytest.raises(SpaceError, match=r"has no address, got auto\. Add --engine ray"):
        search(ground.folder / "space.yaml", out=ground.folder / "runs", address="auto")
    assert not (ground.folder / "runs").exists()


def test_without_ray_the_engine_says_how_to_install_it(ground: Ground) -> None:
    lines = [
        "import sys",
        "sys.modules['ray'] = None",
        "from automl_rec.cli import main",
        "sys.exit(main(['search', sys.argv[1], '--engine', 'ray', '--out', sys.argv[2]]))",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(ground.folder / "space.yaml"), "runs"]
    answer = subprocess.run(command, cwd=ground.folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "pip install 'automl-rec[ray]'" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (ground.folder / "runs").exists()


def test_a_search_on_a_ray_of_its_own_prints_nothing_but_its_events(ground: Ground) -> None:
    (ground.folder / "space.yaml").write_text(
        f"{HEAD}model: {{unruly: {{level: 0, behaviour: [die-once]}}}}\n"
    )
    Path(os.environ["UNRULY_FLAG"]).unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("automl-rec")), "search", "space.yaml"]
    before = processes_of_ray()
    answer = subprocess.run(
        [*command, "--engine", "ray", "--workers", "1", "--json"],
        cwd=ground.folder,
        env=os.environ | {"PYTHONPATH": str(Path(os.environ["UNRULY_FLAG"]).with_name("site"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    events = [json.loads(line)["event"] for line in answer.stdout.splitlines()]
    assert events[-1] == "study_ended"
    assert answer.stderr == ""
    assert not processes_of_ray().keys() - before.keys() - begun_by(before)
