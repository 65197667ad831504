"""Bad days on real Ray clusters of this machine: drivers, machines and worker processes are killed.

What must hold is what holds of every study: see `faults.check_study`.
"""

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ray._private.node import Node
from ray.cluster_utils import Cluster

from automl_rec.search.shelf import run_of
from automl_rec.search.study import Study
from automl_rec.storage.repository import Repository
from tests.automl_rec.search.faults import Processes, family, finish, wait_until

pytestmark = pytest.mark.slow
SPACE = """
data: {path: events.csv, split: {kind: random, validation: 0.2, test: 0.2}}
objectives: {ndcg@10: maximize, bytes: minimize}
search: {sampler: random, early_stopping: none}
resources: {cpus: 1}
model: {slow: {level: {int: [0, 9]}, learning_rate: {float: [0.001, 0.1]}, epochs: [4, 6, 8]}}
"""
CLUSTERED = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A machine that refuses connections is given up after three seconds; Ray's default is fifteen.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
LOST = r"It was lost, and again when it was run anew, "
WAIT = 120.0


@pytest.fixture
def cluster(unruly_for_all: Path) -> Iterator[Cluster]:
    """A cluster of one machine with a processor, whose workers know the slow model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(unruly_for_all))
        for name, value in CLUSTERED.items():
            patch.setenv(name, value)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        yield made
        made.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture
def processes(
    space_file: Callable[[str], Path], unruly_for_all: Path, url: str, tmp_path: Path
) -> Iterator[Processes]:
    space_file(SPACE)
    begun = Processes(tmp_path, url, unruly_for_all)
    yield begun
    begun.end()


def workers_of(node: Node) -> list[psutil.Process]:
    """The processes in which a machine runs trials, or will."""
    (raylet,) = node.all_processes["raylet"]
    try:
        children = psutil.Process(raylet.process.pid).children()
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _named(child, "ray::")]


def trials_of(cluster: Cluster) -> list[psutil.Process]:
    """The processes of trials that run on the machines of a cluster."""
    nodes = cluster.list_all_nodes()  # type: ignore[no-untyped-call]
    return [worker for node in nodes for worker in workers_of(node) if runs_trial(worker)]


def runs_trial(process: psutil.Process) -> bool:
    """Whether a process is one that runs trials, of Ray or of the local engine."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return _named(process, "ray::Implicit") or "automl_rec.search.worker" in process.cmdline()
    return False


def _named(process: psutil.Process, start: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name().startswith(start)
    return False


def await_trial(node: Node) -> None:
    """Waits until a trial runs on a machine."""
    wait_until(lambda: any(map(runs_trial, workers_of(node))), WAIT)


def is_free(cluster: Cluster) -> bool:
    """Whether nothing holds a processor of the cluster."""
    state = cluster.global_state
    free, there = state.available_resources(), state.cluster_resources()  # type: ignore[no-untyped-call]
    return bool(free.get("CPU") == there["CPU"])


def recorded_by(processes: Processes, search: subprocess.Popen[bytes]) -> set[str]:
    """The uuids of the trials that a process has recorded."""
    with Repository.open(processes.url, create=False) as repository:
        trials = repository.study("planted").trials()
    return {trial.uuid for trial in trials if f":{search.pid}/" in (trial.worker or "")}


def check_endings(study: Study) -> None:
    """Trials are complete, or were lost too often; no model lies about that is not of the front."""
    for trial in study.trials:
        assert (trial.state, trial.reason) == ("complete", None) or (
            trial.state == "failed"
            and trial.reason is not None
            and (trial.reason.startswith(LOST) or trial.reason.startswith("The process that ran"))
        )
    kept = {run_of(trial.artefact) for trial in study.front() if trial.artefact is not None}
    assert {path.name for path in (study.folder / "artefacts").iterdir()} == kept


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_driver_killed_at_random_times_leaves_nothing_that_runs_or_records(
    cluster: Cluster, processes: Processes
) -> None:
    """A driver of a Ray of its own, a search without Ray, and five drivers of one cluster."""
    cluster.add_node(num_cpus=1)
    draw = random.Random(6)
    shared = ("--engine", "ray", "--address", str(cluster.address))
    recorded: dict[int, set[str]] = {}
    begun: list[psutil.Process] = []
    trials: list[psutil.Process] = []
    for options in (("--engine", "ray"), (), *[shared] * 5):
        before = len(processes.reported())
        # The next begins at once, beside what the last has left.
        search = processes.search("--workers", "2", *options)
        assert psutil.wait_procs(trials, timeout=WAIT)[1] == []
        if before == 0 or draw.random() < 0.7:
            processes.await_trials(before + 1, WAIT)
            time.sleep(draw.uniform(0.0, 2.0))
        else:
            time.sleep(draw.uniform(2.0, 8.0))
        members = family(search)
        trials = [*(member for member in members if runs_trial(member)), *trials_of(cluster)]
        search.kill()
        search.wait()
        recorded[search.pid] = recorded_by(processes, search)
        begun += members
    assert psutil.wait_procs(trials, timeout=WAIT)[1] == []
    wait_until(lambda: is_free(cluster), WAIT)
    study = finish(processes, *shared)
    wait_until(lambda: is_free(cluster), WAIT)
    check_endings(study)
    for pid, uuids in recorded.items():
        assert {t.uuid for t in study.trials if f":{pid}/" in (t.worker or "")} == uuids
    # Two agents of a Ray that lost everything else notice it after a minute.
    assert psutil.wait_procs(begun, timeout=WAIT)[1] == []


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_machines_and_worker_processes_killed_at_random_times_lose_no_trial(
    cluster: Cluster, processes: Processes
) -> None:
    """Eight rounds during one search: five machines, three processes of trials."""
    draw = random.Random(7)
    rounds = ["machine"] * 5 + ["process"] * 3
    draw.shuffle(rounds)
    machine = cluster.add_node(num_cpus=1)
    shared = ("--engine", "ray", "--address", str(cluster.address))
    search = processes.search("--workers", "2", "--trials", "1000", *shared)
    processes.await_trials(1, WAIT)
    for what in rounds:
        before = len(processes.reported())
        # A machine that has come back starts its processes while trials of the other go on.
        await_trial(machine)
        time.sleep(draw.uniform(0.0, 2.0))
        if what == "process":
            draw.choice(trials_of(cluster)).kill()
        else:
            workers = workers_of(machine)
            cluster.remove_node(machine, allow_graceful=False)
            assert psutil.wait_procs(workers, timeout=WAIT)[1] == []
            time.sleep(draw.uniform(0.0, 2.0))
            machine = cluster.add_node(num_cpus=1)
        processes.await_trials(before + 2, WAIT)
        assert search.poll() is None
    search.send_signal(signal.SIGTERM)
    processes.ended_well(search)
    wait_until(lambda: is_free(cluster), WAIT)
    study = finish(processes, *shared)
    check_endings(study)
