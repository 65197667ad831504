"""Made-up components, an engine that answers at once, and a plugin whose models misbehave."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_rec.data import DataRequest, prepare
from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Choice, Component, Domain, Float, Integer, Kind
from automl_rec.registry import Plugin, Registry
from automl_rec.search.engine import Event, Failed, Finished, Job, Setup, Started
from automl_rec.space.checker import check
from automl_rec.space.space import Space
from automl_rec.testing.planted import planted_interactions

SpaceOf = Callable[[str], Space]
Answer = Callable[[Job], Finished | Failed]


def component(
    name: str, kind: Kind = "model", domains: dict[str, Domain] | None = None, **fields: object
) -> Component:
    return Component(
        kind=kind,
        name=name,
        summary="s",
        source="s",
        implementation="nowhere:Nothing",
        hyperparameters=domains or {},
        **fields,  # type: ignore[arg-type]
    )


COMPONENTS = (
    component(
        "tower",
        domains={
            "width": Integer(1, 64, 16, log=True),
            "rate": Float(1e-3, 1.0, 0.1, log=True),
            "loss": Choice(("bce", "full"), "bce"),
            "negatives": Choice((1, 4), 4, only_if={"loss": ("bce",)}),
        },
    ),
    component(
        "closed",
        domains={"ridge": Float(1.0, 1e4, 250.0, log=True)},
        compressible=frozenset({"rank", "sparsity"}),
        baseline=True,
    ),
    component("tiny", domains={"size": Integer(1, 3, 2)}, compressible=frozenset()),
    component("plain", compressible=frozenset(), baseline=True),
    component("full", "embedding", neutral=True),
    component("hash", "embedding", {"ratio": Float(0.001, 1.0, 0.1, log=True)}),
    component("whole", "rank", neutral=True),
    component(
        "svd",
        "rank",
        {"ratio": Float(0.05, 0.75, 0.5)},
        excludes={("sparsity", "moving"): "its bases rotate"},
    ),
    component("none", "sparsity", neutral=True),
    component("magnitude", "sparsity", {"density": Float(0.001, 1.0, 0.1, log=True)}),
    component("moving", "sparsity"),
)
BASE = "data: {source: movielens-small}\nobjectives: [ndcg@10, bytes]\n"


@pytest.fixture(scope="session")
def made_up() -> Registry:
    return Registry([Plugin("made-up", "acme", "1.0", components=COMPONENTS)])


@pytest.fixture(scope="session")
def space_of(made_up: Registry) -> SpaceOf:
    """Checks a text of components; data and objectives are added."""
    return lambda text: check(BASE + text, Path("space.yaml"), made_up)


@pytest.fixture
def space_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a space beside a CSV of planted interactions."""
    planted = planted_interactions(0, users=60, items=40, blocks=4, events=15, heldout=3)
    parts = (planted.catalog.histories, planted.heldout)
    users = np.concatenate([part.users() for part in parts])
    items = np.concatenate([part.items for part in parts])
    pl.DataFrame({"user": users, "item": items}).write_csv(tmp_path / "events.csv")

    def write(text: str) -> Path:
        path = tmp_path / "planted.yaml"
        path.write_text(text)
        return path

    return write


class InstantEngine:
    """Finishes every job when it is next asked, as a function of the job says."""

    def __init__(self, answer: Answer, workers: int = 1) -> None:
        self._answer, self.workers = answer, workers
        self._events: deque[Event] = deque()
        self.jobs: list[Job] = []
        self.closed = False

    def open(self, setup: Setup) -> None:
        """Nothing has to be known."""

    def start(self, job: Job) -> str:
        self.jobs.append(job)
        self._events += [Started(job, "instant"), self._answer(job)]
        return "instant"

    def wait(self, seconds: float) -> list[Event]:
        events = list(self._events)
        self._events.clear()
        return events

    def answer(self, job: Job, *, proceed: bool) -> None:
        raise AssertionError("instant jobs report nothing")

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="session")
def instant() -> type[InstantEngine]:
    return InstantEngine


@pytest.fixture(scope="session")
def finished() -> Callable[[Job, Mapping[str, float]], Finished]:
    return _finished


def _finished(job: Job, measurements: Mapping[str, float]) -> Finished:
    pairs = {name: (value, None) for name, value in measurements.items()}
    return Finished(job, "instant", pairs, train_seconds=0.0, stopped=None)


UNRULY = '''
import ctypes, json, os, signal, subprocess, sys, time
from pathlib import Path

import torch

from automl_rec.plugin import ClosedFormModel, Choice, Component, GradientModel, Integer, Sampling
from automl_rec.plugin import gradient_training, hookimpl

AUTOML_REC_API = (1, 0)
BEHAVIOURS = (
    "fine", "raise", "die", "die-once", "sleep", "print", "nan", "nap", "allocate",
    "allocate-in-child", "leave", "stop", "hold", "die-before-child", "threads",
)
GIGABYTE = 1_000_000_000
ALLOCATE = f"import time; held = bytearray(b'1') * {GIGABYTE}; time.sleep(600)"
KEPT = []


class Unruly(ClosedFormModel):
    """Popularity, unless told to misbehave."""

    def __init__(self, catalog, layers, behaviour, level):
        super().__init__()
        self.behaviour = behaviour
        self.counts = torch.nn.Parameter(torch.zeros(catalog.num_items + level))

    def fit(self, catalog, generator):
        if self.behaviour == "raise":
            raise ValueError("no such luck")
        if self.behaviour == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "die-once":
            flag = Path(os.environ["UNRULY_FLAG"])
            if not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "sleep":
            time.sleep(600)
        if self.behaviour == "nap":
            time.sleep(12)
        if self.behaviour == "allocate":
            held = torch.ones(GIGABYTE // 4)
            time.sleep(600)
        if self.behaviour == "allocate-in-child":
            subprocess.run([sys.executable, "-c", ALLOCATE])
        if self.behaviour == "leave":
            KEPT.append(torch.ones(GIGABYTE // 4))
        if self.behaviour == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.behaviour == "hold":
            # Called in this way, the C library does not let the interpreter go.
            ctypes.PyDLL(None).sleep(600)
        if self.behaviour == "die-before-child":
            if os.fork() == 0:
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "print":
            print(json.dumps({"type": "finished"}), flush=True)
            os.write(1, b"noise\\n")
        if self.behaviour == "threads":
            names = ("OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "GOMP_SPINCOUNT")
            print("threads", torch.get_num_threads(), *map(os.environ.get, names), flush=True)
        counts = torch.from_numpy(catalog.item_counts).float()
        with torch.no_grad():
            self.counts[: len(counts)] = counts * (float("nan") if self.behaviour == "nan" else 1)

    def scores(self, requests):
        items = self.counts[: len(self.counts)]
        return items.expand(len(requests), -1).clone()


class Slow(GradientModel):
    """Learns nothing, slowly: every step takes a tenth of a second."""

    def __init__(self, catalog, layers, level):
        super().__init__()
        self.sampling = Sampling("pairs", negatives=1)
        self.items = torch.nn.Parameter(torch.zeros(catalog.num_items))

    def loss(self, batch):
        time.sleep(0.1)
        return (self.items**2).sum()

    def scores(self, requests):
        return self.items.expand(len(requests), -1).clone()


@hookimpl
def register_models():
    source = "Made up for the tests, 2026."
    return [
        Component(
            kind="model", name="unruly", summary="Misbehaves.", source=source,
            implementation="unruly:Unruly", compressible=frozenset(),
            hyperparameters={
                "behaviour": Choice(BEHAVIOURS, "fine"), "level": Integer(0, 0, 0),
            },
        ),
        Component(
            kind="model", name="slow", summary="Takes its time.", source=source,
            implementation="unruly:Slow", compressible=frozenset(),
            hyperparameters={"level": Integer(0, 9, 0)},
            training=gradient_training(),
        ),
    ]
'''


@pytest.fixture
def unruly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution with the models of `UNRULY`; gives its folder."""
    yield _install_unruly(tmp_path, monkeypatch)
    sys.modules.pop("unruly", None)


@pytest.fixture(scope="module")
def unruly_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As `unruly`, for processes that outlive a test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _install_unruly(tmp_path_factory.mktemp("unruly"), monkeypatch)
    sys.modules.pop("unruly", None)


def _install_unruly(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = place / "site"
    information = folder / "unruly-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / "unruly.py").write_text(UNRULY)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: unruly\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[automl_rec]\nunruly = unruly\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("UNRULY_FLAG", str(place / "flag"))
    return folder


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """What a worker must know of planted data."""
    planted = planted_interactions(0, users=60, items=40, blocks=4, events=15, heldout=3)
    parts = (planted.catalog.histories, planted.heldout)
    users = np.concatenate([part.users() for part in parts])
    items = np.concatenate([part.items for part in parts])
    pl.DataFrame({"user": users, "item": items}).write_csv(tmp_path / "events.csv")
    data = prepare(DataRequest(path=str(tmp_path / "events.csv")))
    objectives = (Objective("ndcg@10", "maximize", ""), Objective("bytes", "minimize", "B"))
    return Setup(
        data=str(data.folder),
        objectives=tuple(asdict(objective) for objective in objectives),
        artefacts=str(tmp_path / "artefacts"),
        trainings=str(tmp_path / "trainings"),
    )
