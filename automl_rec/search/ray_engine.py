"""The Ray engine: trials on a cluster, placed, retried and counted by Ray Tune.

The study's loop proposes, judges and records, as on every engine. A `ray.tune.Tuner` in a thread
runs what it proposes: its searcher hands out the jobs that are waiting, its scheduler passes on
what workers tell. Nothing of the study is in Tune's own files, which are removed: a search that was
cut off goes on from the database.
"""

import concurrent.futures
import contextlib
import gc
import json
import logging
import os
import queue
import re
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from automl_rec.data import Prepared
from automl_rec.data.travel import Files, packed
from automl_rec.errors import AutomlRecError, StudyFailedError
from automl_rec.objectives.amount import amount
from automl_rec.search.desk import Desk
from automl_rec.search.engine import Event, Failed, Finished, Job, Reported, Setup, Started
from automl_rec.search.local import (
    GRACE_SECONDS,
    SHORT_SPIN,
    THREAD_VARIABLES,
    WATCH_SECONDS,
    processors,
)
from automl_rec.search.memory import family_bytes, too_large
from automl_rec.search.outpost import Marker, Outpost
from automl_rec.search.reason import shorten
from automl_rec.space.space import Resources
from automl_rec.training.progress import Progress

# Ray reads them when it is imported: it prints nothing, sends nothing about its use,
# writes little, and leaves Ctrl-C to the study.
os.environ |= {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
} | dict(os.environ)

try:
    import ray
    from ray import tune
    from ray.exceptions import RayError, RayTaskError
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ModuleNotFoundError as error:
    raise StudyFailedError(
        f"The engine ray needs Ray, of which {error.name} is not installed. "
        f"Install it with: pip install 'automl-rec[ray]'."
    ) from error

RETRIES = 1
"""So often Tune runs a trial again whose process or machine was lost, before the study hears."""
CLOSING_SECONDS = 20.0
DYING_SECONDS = 2.0
"""How long a process that was killed may take to end."""
MACHINE_SECONDS = 60.0
"""How long a cluster may take until it has a machine that is large enough for a trial."""
LOOPBACK = "127.0.0.1"
Told: TypeAlias = tuple[str, Mapping[str, Any]]
"""The run that a message is of, and the message."""


@dataclass
class _Slot:
    """One trial at a time."""

    name: str
    job: Job | None = None
    began: float | None = None
    epoch: int = 0

    def overdue(self, now: float, grace_seconds: float) -> bool:
        if self.job is None or self.began is None or self.job.end is None:
            return False
        return now > self.began + self.job.end + grace_seconds


@dataclass
class _Traffic:
    """What passes between the study's thread and Tune's."""

    jobs: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue)
    told: queue.SimpleQueue[Told] = field(default_factory=queue.SimpleQueue)
    ending: set[str] = field(default_factory=set)
    trials: dict[str, Trial] = field(default_factory=dict)
    processes: set[Any] = field(default_factory=set)
    closing: threading.Event = field(default_factory=threading.Event)

    def tell(self, trial: Trial, message: Mapping[str, Any]) -> None:
        """Passes a message on to the study."""
        self.told.put((trial.config["run"], message))

    def kill_processes(self) -> None:
        """Ends every process that has run a trial, so that Tune waits for none."""
        while self.processes:
            # The cluster may be gone.
            with contextlib.suppress(RayError, RuntimeError):
                ray.kill(self.processes.pop())


class RayEngine:
    """Trials on a Ray cluster; see `search.engine.Engine` for the methods.

    Ray is started, or connected to, in a thread, so that the study prepares itself meanwhile.

    Args:
        workers: how many trials run at once.
        logs: folder for what workers that see it print.
        resources: what one trial may use.
        address: ``HOST:PORT`` of a cluster, or ``"auto"`` for one that runs on this machine; None
            starts one of this machine alone, which ends with the engine.
        grace_seconds: how long a trial may exceed its seconds before its worker is killed.
    """

    def __init__(
        self,
        workers: int,
        logs: Path,
        resources: Resources,
        address: str | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs, self._grace_seconds = logs.absolute(), grace_seconds
        self._memory, self._watched = resources.memory, time.monotonic()
        self._cluster = _Cluster(address, workers, resources)
        self._slots = [_Slot(f"ray-{number}") for number in range(workers)]
        self._traffic = _Traffic()
        self._setups: queue.SimpleQueue[Setup | None] = queue.SimpleQueue()
        self._connected: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._artefacts = Path()
        self._thread = threading.Thread(target=self._serve, name="ray", daemon=True)
        self._thread.start()

    @property
    def workers(self) -> int:
        """How many jobs run at once."""
        return len(self._slots)

    def open(self, setup: Setup) -> None:
        """See `Engine.open`.

        Raises:
            StudyFailedError: Ray cannot be reached, or has too little for a trial.
        """
        self._connected.result()
        self._artefacts = Path(setup.artefacts)
        # Processes of a cluster run in folders of their own.
        data, artefacts, trainings = (
            str(Path(folder).absolute())
            for folder in (setup.data, setup.artefacts, setup.trainings)
        )
        self._setups.put(replace(setup, data=data, artefacts=artefacts, trainings=trainings))

    def start(self, job: Job) -> str:
        """See `Engine.start`."""
        slot = next(slot for slot in self._slots if slot.job is None)
        slot.job, slot.began, slot.epoch = job, None, 0
        self._traffic.jobs.put(job)
        return slot.name

    def wait(self, seconds: float) -> list[Event]:
        """See `Engine.wait`.

        Raises:
            StudyFailedError: workers cannot prepare themselves, or Ray has ended.
        """
        events = [event for told in self._told(seconds) for event in self._hear(*told)]
        now = time.monotonic()
        for slot in self._slots:
            if slot.overdue(now, self._grace_seconds):
                events.append(self._end_overdue(slot))
        if self._memory is not None and now - self._watched >= WATCH_SECONDS:
            self._watched = now
            events += self._end_large(self._memory)
        return events

    def answer(self, job: Job, *, proceed: bool) -> None:
        """See `Engine.answer`."""
        for slot in self._slots:
            if slot.job == job:
                self._cluster.answer(job.run, slot.epoch, proceed=proceed)

    def cancel(self, job: Job) -> None:
        """See `Engine.cancel`."""
        for slot in self._slots:
            if slot.job == job:
                self._end(slot)

    def close(self) -> None:
        """See `Engine.close`."""
        for slot in self._slots:
            if slot.job is not None:
                self._end(slot)
        concurrent.futures.wait([self._connected])
        self._setups.put(None)
        self._traffic.closing.set()
        self._traffic.jobs.put(None)
        self._thread.join(CLOSING_SECONDS)
        self._cluster.leave()

    def _serve(self) -> None:
        """Connects, and runs Tune until there are no more jobs."""
        try:
            self._cluster.join()
        except BaseException as error:  # noqa: BLE001 - raised where the study waits for it
            self._connected.set_exception(error)
            return
        self._connected.set_result(None)
        setup = self._setups.get()
        if setup is None:
            return
        try:
            with tempfile.TemporaryDirectory(prefix="automl-rec-") as folder:
                self._cluster.run(setup, self._traffic, self._logs, Path(folder))
        except _Closing:
            return
        except Exception as error:  # noqa: BLE001 - Ray may raise anything; the study must hear
            reason = f"{type(error).__name__}: {error}"
            self._traffic.told.put(("", {"type": "broken", "reason": f"Ray failed: {reason}"}))

    def _told(self, seconds: float) -> Iterator[Told]:
        """What workers have told, after so many seconds at the latest."""
        with contextlib.suppress(queue.Empty):
            yield self._traffic.told.get(timeout=max(0.0, seconds))
            while True:
                yield self._traffic.told.get_nowait()

    def _hear(self, run: str, message: Mapping[str, Any]) -> Iterator[Event]:
        fields = dict(message)
        kind = fields.pop("type")
        if kind == "broken":
            raise StudyFailedError(f"A worker could not prepare itself: {fields['reason']}")
        slot = next((slot for slot in self._slots if slot.job and slot.job.run == run), None)
        if slot is None or slot.job is None:
            return
        if kind == "started":
            slot.began = time.monotonic()
            yield Started(slot.job, slot.name)
        elif kind == "reported":
            # A trial that had to be run again repeats itself; the desk remembers the answers.
            if fields["epoch"] > slot.epoch:
                slot.epoch = fields["epoch"]
                yield Reported(slot.job, **fields)
        else:
            made = Finished if kind == "finished" else Failed
            if path := fields.get("artefact"):
                fields["artefact"] = str(self._artefacts / run / Path(path).name)
            yield made(slot.job, slot.name, **fields)
            self._free(slot)

    def _end_overdue(self, slot: _Slot) -> Failed:
        job = slot.job
        assert job is not None
        reason = f"It ran {self._grace_seconds:g} s beyond its {job.end:.3g} s and was ended."
        self._end(slot)
        return Failed(job, slot.name, "overtime", reason)

    def _end_large(self, memory: int) -> Iterator[Failed]:
        large = self._cluster.large()
        for slot in self._slots:
            job = slot.job
            if job is not None and job.run in large:
                self._end(slot)
                yield Failed(job, slot.name, "memory", too_large(large[job.run], memory))

    def _end(self, slot: _Slot) -> None:
        """Ends a trial; what is still told of it is not heard."""
        assert slot.job is not None
        self._traffic.ending.add(slot.job.run)
        self._free(slot)

    def _free(self, slot: _Slot) -> None:
        assert slot.job is not None
        self._cluster.forget(slot.job.run)
        slot.job = None


@dataclass(frozen=True)
class _Base:
    """What a process that runs trials gets once."""

    setup: Setup
    digest: str
    marker: Marker
    logs: str
    memory: int | None
    desk: Any


class _Cluster:
    """The Ray that this process started or joined, for trials of some resources."""

    def __init__(self, address: str | None, workers: int, resources: Resources) -> None:
        self._address, self._workers, self._resources = address, workers, resources
        self._cpus = resources.cpus or max(1, processors() // workers)
        self._joined = False
        self._session: Path | None = None
        self._desk: Any = None

    def join(self) -> None:
        """Starts Ray on this machine, or connects to a cluster.

        Raises:
            StudyFailedError: it cannot be reached, or has too little for a trial.
        """
        if ray.is_initialized():
            raise StudyFailedError(
                "This process is connected to Ray already. Call ray.shutdown() before the search, "
                "which connects by its address."
            )
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        try:
            self._init()
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:
            where = f"reached at {self._address}" if self._address else "started on this machine"
            raise StudyFailedError(
                f"Ray cannot be {where}: {error} Start a cluster with ray start --head, "
                f"and name it with --address HOST:PORT."
            ) from error
        self._joined = True
        self._require_machine()

    def _require_machine(self) -> None:
        """Refuses trials that would wait for ever; a cluster that is starting may still grow.

        Raises:
            StudyFailedError: no machine is large enough for one.
        """
        asked = self._bundle()
        until = time.monotonic() + (0.0 if self._address is None else MACHINE_SECONDS)
        while True:
            nodes: Any = ray.nodes()  # type: ignore[no-untyped-call]
            machines = [node["Resources"] for node in nodes if node["Alive"]]
            if any(all(has.get(n, 0) >= asked[n] for n in asked) for has in machines):
                return
            if time.monotonic() >= until:
                break
            time.sleep(0.5)
        most = {name: max((has.get(name, 0.0) for has in machines), default=0.0) for name in asked}
        raise StudyFailedError(
            f"A trial needs {_in_words(asked)}, all on one machine; the most that any machine of "
            f"the Ray cluster has is {_in_words(most)}. Ask for less under resources in the space, "
            f"or start a larger machine before the search."
        )

    def _init(self) -> None:
        options: dict[str, Any] = {
            "runtime_env": {"env_vars": self._variables()},
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
        if self._address is not None:
            ray.init(self._address, **options)
            return
        with _on_loopback():
            own: Any = ray.init(**self._own(), **options)
        self._session = Path(own.address_info["session_dir"]).resolve()
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        if address != LOOPBACK:
            ray.shutdown()
            raise RuntimeError(f"It listens on {address}, but must on {LOOPBACK} alone.")

    def run(self, setup: Setup, traffic: _Traffic, logs: Path, folder: Path) -> None:
        """Runs jobs until there are no more."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._desk = ray.remote(_Desk).options(num_cpus=0, scheduling_strategy=here).remote(setup)
        marker = Marker(str(logs / f".{secrets.token_hex(8)}"), secrets.token_hex(16))
        Path(marker.path).write_text(marker.word, "utf-8")
        base = _Base(
            setup,
            Prepared.open(setup.data).digest,
            marker,
            str(logs),
            self._resources.memory,
            self._desk,
        )
        try:
            tune.Tuner(
                tune.with_resources(tune.with_parameters(_run_trial, base=base), self._request()),
                tune_config=tune.TuneConfig(
                    search_alg=_Jobs(traffic),
                    scheduler=_Scheduler(traffic),
                    num_samples=-1,
                    max_concurrent_trials=self._workers,
                    reuse_actors=True,
                    trial_name_creator=_id_of,
                    trial_dirname_creator=_id_of,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(folder),
                    failure_config=tune.FailureConfig(max_failures=RETRIES),
                    verbose=0,
                ),
            ).fit()
        finally:
            Path(marker.path).unlink(missing_ok=True)

    def answer(self, run: str, epoch: int, *, proceed: bool) -> None:
        """Lets a training go on after an epoch, or ends it."""
        self._desk.tell.remote(run, epoch, proceed)

    def forget(self, run: str) -> None:
        """A run has ended: nobody will ask for its answers."""
        if self._desk is not None:
            self._desk.forget.remote(run)

    def large(self) -> Mapping[str, int]:
        """The runs that hold more memory than they may, and how much."""
        if self._desk is None:
            return {}
        found: Mapping[str, int] = ray.get(self._desk.large.remote())
        return found

    def leave(self) -> None:
        """Ends what this process has on the cluster, and Ray itself where it was started here."""
        if self._joined:
            begun = set() if self._session is None else _begun_by(self._session)
            ray.shutdown()
            self._joined = False
            if self._session is not None:
                _end_processes(begun, self._session)

    def _own(self) -> dict[str, Any]:
        """A Ray of this machine: what all workers need, on loopback, without its dashboard."""
        custom = {name: amount * self._workers for name, amount in self._resources.custom.items()}
        return {
            "address": "local",
            "num_cpus": max(processors(), self._cpus * self._workers),
            "resources": custom or None,
            "include_dashboard": False,
        }

    def _variables(self) -> dict[str, str]:
        """The environment of workers: a trial has as many threads as processors."""
        variables = SHORT_SPIN | dict.fromkeys(THREAD_VARIABLES, str(self._cpus))
        if self._address is None:
            # They import what this process imports, wherever it was started.
            variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        return variables

    def _request(self) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([self._bundle()], strategy="SPREAD")

    def _bundle(self) -> dict[str, float]:
        """What Ray is asked for one trial."""
        resources = self._resources
        bundle = {"CPU": float(self._cpus), **resources.custom}
        if resources.gpus:
            bundle["GPU"] = resources.gpus
        if resources.memory:
            bundle["memory"] = float(resources.memory)
        return bundle


def _in_words(resources: Mapping[str, float]) -> str:
    """Resources as Ray names them, such as ``2 CPU, 1 GPU, memory 4.00 GB``."""
    return ", ".join(
        f"memory {amount(held, 'B')}" if name == "memory" else f"{held:g} {name}"
        for name, held in resources.items()
    )


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Lets a Ray that is started meanwhile listen on loopback alone.

    Ray does so where it makes no clusters, on macOS and Windows, and has no option for it.
    """
    constants = ray._private.ray_constants  # noqa: SLF001
    before = constants.ENABLE_RAY_CLUSTER
    os.environ[constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        del os.environ[constants.ENABLE_RAY_CLUSTERS_ENV_VAR]


def _begun_by(session: Path) -> set[psutil.Process]:
    """What a Ray started here has started in turn, before it ends; see `_end_processes`."""
    begun: set[psutil.Process] = set()
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(session.name in argument for argument in process.cmdline()):
                begun |= {*process.children(recursive=True)}
    return begun


def _end_processes(begun: set[psutil.Process], session: Path) -> None:
    """Ends what a Ray started here has started in turn, which would notice its end much later.

    Args:
        begun: the processes known; it may be that some have started since, or were lost sight of
            because what started them has died.
        session: folder of that Ray alone, where its processes write their logs.
    """
    for process in psutil.process_iter(["name"]):
        if (process.info["name"] or "").startswith("ray::"):
            with contextlib.suppress(psutil.Error):
                if any(session in Path(file.path).parents for file in process.open_files()):
                    begun.add(process)
    for process in begun:
        with contextlib.suppress(psutil.Error):
            process.kill()
    # Where nobody takes note of the dead, they are there for ever: that is no reason to wait long.
    psutil.wait_procs(begun, timeout=DYING_SECONDS)


class _Jobs(Searcher):
    """Hands out the jobs that the study has started."""

    def __init__(self, traffic: _Traffic) -> None:
        super().__init__()
        self._traffic = traffic
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """The next job; waits for one where Tune has nothing else to do."""
        try:
            job = self._traffic.jobs.get(block=not self._live)
        except queue.Empty:
            return None
        if job is None:
            self._traffic.kill_processes()
            return Searcher.FINISHED
        self._live.add(trial_id)
        return {"run": job.run, "job": json.dumps(asdict(job))}

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 - Ray's own signature
    ) -> None:
        """Notes that Tune has one trial less; tells of one that it could not run."""
        self._live.discard(trial_id)
        trial = self._traffic.trials.pop(trial_id)
        self._traffic.ending.discard(trial.config["run"])
        if error:
            self._traffic.tell(trial, _death_of(trial))

    def save(self, checkpoint_path: str) -> None:
        """Keeps nothing: the study's database has all there is."""

    def restore(self, checkpoint_path: str) -> None:
        """Brings nothing back, see `save`."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Scheduler(FIFOScheduler):
    """Passes on what workers tell, and ends the trials that the study wants ended."""

    def __init__(self, traffic: _Traffic) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._traffic = traffic

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Meets a trial, once more when it is run anew."""
        self._traffic.trials[trial.trial_id] = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Passes on that a trial began, or what it reports."""
        self._traffic.processes.add(trial.temporary_state.ray_actor)
        self._traffic.tell(trial, json.loads(result["told"]))
        return FIFOScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Passes on what came of a trial."""
        self._traffic.tell(trial, json.loads(result["told"]))

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        if self._traffic.closing.is_set():
            self._traffic.kill_processes()
            raise _Closing
        for trial in self._traffic.trials.values():
            if trial.config["run"] in self._traffic.ending:
                self._kill(trial)
        return super().choose_trial_to_run(tune_controller)

    def _kill(self, trial: Trial) -> None:
        """Kills the process of a trial, as soon as it has one; it is not tried again."""
        trial.max_failures = 0
        process = trial.temporary_state.ray_actor
        if process is not None:
            ray.kill(process)

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Closing(Exception):  # noqa: N818 - a way out of Tune, which would wait for its trials
    """The study wants no more trials."""


def _id_of(trial: Trial) -> str:
    return trial.trial_id


def _death_of(trial: Trial) -> dict[str, str]:
    """What became of a trial whose process Ray lost, on every attempt."""
    file = trial.error_file
    text = Path(file).read_text("utf-8", "replace") if file else ""
    how = "memory" if "OutOfMemoryError" in text else "died"
    causes: list[str] = re.findall(r"(?:is dead|died) because ([^.\n]+)", text)
    last = next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "unknown")
    reason = f"because {causes[-1]}." if causes else f"at last by: {shorten(last)}"
    reason = f"It was lost, and again when it was run anew, {reason}"
    return {"type": "failed", "how": how, "reason": reason}


class _Desk(Desk):
    """The desk as Ray runs it, on the study's machine."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(Path(setup.artefacts), Path(setup.trainings))
        self._data = setup.data
        self._packed: list[Any] = []

    async def data(self) -> list[Any]:
        """The prepared data in Ray's store, from where a machine has them once."""
        if not self._packed:
            self._packed = [ray.put(packed(Prepared.open(self._data)))]
        return self._packed


class _Home:
    """The desk from where a worker is."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk

    def data(self) -> Files:
        (found,) = ray.get(self._desk.data.remote())
        files: Files = ray.get(found)
        return files

    def training(self, name: str) -> bytes | None:
        content: bytes | None = _asked(self._desk.training.remote(name))
        return content

    def keep_training(self, name: str, content: bytes) -> None:
        _asked(self._desk.keep_training.remote(name, content))

    def keep_model(self, run: str, content: bytes) -> str:
        return str(_asked(self._desk.keep_model.remote(run, content)))


def _asked(answer: Any) -> Any:
    """What the desk answers.

    Raises:
        StorageError: it could not write.
    """
    try:
        return ray.get(answer)
    except RayTaskError as error:
        raise error.cause from None


_outposts: dict[str, Outpost] = {}
"""By the word of its marker: a process has one, however many trials it runs."""


def _run_trial(config: Mapping[str, Any], base: _Base) -> None:
    """Runs a trial in a process of the cluster."""
    job = json.loads(config["job"])
    try:
        outpost = _outpost(base)
    except AutomlRecError as error:
        _tell({"type": "broken", "reason": str(error)}, done=True)
        return
    _tell({"type": "started"})

    def report(progress: Progress) -> bool:
        _tell({"type": "reported", **asdict(progress)})
        return bool(ray.get(base.desk.answer.remote(job["run"], progress.epoch)))

    with _watched(base, job["run"]):
        outcome = outpost.attempt(job, report)
    gc.collect()
    _tell(outcome, done=True)


@contextlib.contextmanager
def _watched(base: _Base, run: str) -> Iterator[None]:
    """Tells the desk meanwhile if this process holds more memory than it may."""
    ended, memory = threading.Event(), base.memory

    def watch() -> None:
        while memory is not None and not ended.wait(WATCH_SECONDS):
            held = family_bytes(psutil.Process())
            if held > memory:
                ray.get(base.desk.complain.remote(run, held))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _outpost(base: _Base) -> Outpost:
    word = base.marker.word
    if word not in _outposts:
        _outposts.clear()
        if base.marker.seen():
            _print_into(Path(base.logs) / f"{socket.gethostname()}-{os.getpid()}.log")
        _outposts[word] = Outpost(base.setup, base.digest, base.marker, _Home(base.desk))
    return _outposts[word]


def _print_into(log: Path) -> None:
    """Whatever the process prints goes where a user looks for it."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _tell(message: Mapping[str, Any], *, done: bool = False) -> None:
    tune.report({"told": json.dumps(message), "done": done})
