"""A trial on a full disk, from a damaged file, and after its process was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from automl_rec.registry import Registry
from automl_rec.search.bench import Bench
from automl_rec.search.engine import Job, Setup
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.training.progress import Progress

EPOCHS = 7
MEGABYTE = 1 << 20


class EndedError(Exception):
    """Stands for whatever ends a training."""


def job(model: str, run: str = "run", seed: int = 3) -> Job:
    configuration = Configuration(Chosen(model))
    if model == "bpr-mf":
        domains = Registry.discover().component("model", model).domains
        values = {name: domain.default for name, domain in domains.items() if not domain.only_if}
        values |= {"width": 16, "epochs": EPOCHS, "batch_size": 256, "learning_rate": 0.05}
        table = Chosen("full", {"precision": "fp32"})
        configuration = Configuration(Chosen(model, values), embedding=table)
    return Job("digest", configuration.as_dict(), seed, training="trial", run=run)


def attempt(
    bench: Bench, started: Job, until: int = 99, reported: list[int] | None = None
) -> dict[str, Any]:
    """Runs a job, to an epoch at most, and adds the epochs that it reports to a list."""

    def report(progress: Progress) -> bool:
        if reported is not None:
            reported.append(progress.epoch)
        if progress.epoch > until:
            raise EndedError
        return True

    return bench.attempt(asdict(started), report)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def fill(folder: Path) -> Path:
    """A file that leaves no space beside it."""
    path = folder / "rest"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    assert shutil.disk_usage(folder).free == 0
    return path


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """The folder of a disk of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTE}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_training_that_cannot_be_written_is_told_and_the_one_before_is_kept(
    setup: Setup, small: Path
) -> None:
    bench = Bench.of(asdict(replace(setup, trainings=str(small / "trainings"))))
    assert attempt(bench, job("bpr-mf"), until=3)["how"] == "error"
    training = small / "trainings" / "trial"
    before, rest = training.read_bytes(), fill(small)
    found = attempt(bench, job("bpr-mf"))
    assert (found["type"], found["how"]) == ("failed", "storage")
    assert found["reason"].startswith(f"{training}: the training could not be written (")
    assert "No space left on device" in found["reason"]
    assert "Free space" in found["reason"]
    assert training.read_bytes() == before
    assert files(small) == ["rest", "trainings/trial"]
    rest.unlink()
    reported: list[int] = []
    assert attempt(bench, job("bpr-mf"), reported=reported)["type"] == "finished"
    assert 1 < reported[0] <= 4
    assert reported == list(range(reported[0], EPOCHS + 1))


def test_the_first_training_file_that_cannot_be_written_leaves_nothing(
    setup: Setup, small: Path
) -> None:
    bench = Bench.of(asdict(replace(setup, trainings=str(small / "trainings"))))
    fill(small)
    found = attempt(bench, job("bpr-mf"))
    assert (found["type"], found["how"]) == ("failed", "storage")
    assert files(small) == ["rest"]


def test_a_model_that_cannot_be_written_is_told_and_leaves_nothing(
    setup: Setup, small: Path
) -> None:
    bench = Bench.of(asdict(replace(setup, artefacts=str(small / "artefacts"))))
    fill(small)
    found = attempt(bench, job("popularity"))
    assert (found["type"], found["how"]) == ("failed", "storage")
    assert "the model could not be written" in found["reason"]
    assert "No space left on device" in found["reason"]
    assert files(small) == ["rest"]


@pytest.mark.parametrize("damage", ["empty", "noise", "cut", "another seed"])
def test_a_training_file_of_no_use_is_replaced_by_training_anew(
    damage: str, setup: Setup, tmp_path: Path
) -> None:
    bench = Bench.of(asdict(setup))
    expected = attempt(bench, job("bpr-mf", "expected"))
    training = Path(setup.trainings) / "trial"
    training.unlink()
    attempt(bench, job("bpr-mf", seed=4 if damage == "another seed" else 3), until=3)
    whole = training.read_bytes()
    content = {"empty": b"", "noise": b"no tensors", "cut": whole[:-1]}.get(damage, whole)
    training.write_bytes(content)
    found = attempt(bench, job("bpr-mf", "found"))
    assert found["type"] == "finished"
    assert found["measurements"] == expected["measurements"]
    assert found["artefact_sha256"] == expected["artefact_sha256"]
    assert training.read_bytes() != content
    assert files(training.parent) == ["trial"]


RUNNING = """
import json, os, signal, sys, time
from automl_rec.search.bench import Bench

setup, job, until, pause = json.loads(sys.argv[1])
bench, began = Bench.of(setup), time.perf_counter()

def report(progress):
    if progress.epoch == until:
        print(json.dumps(time.perf_counter() - began), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(pause)
    return True

found = bench.attempt(job, report)
print(json.dumps([found, time.perf_counter() - began]))
"""


def run(setup: Setup, started: Job, until: int = 0, pause: float = 0.0) -> Any:
    """What a process of its own says, on one thread; killed at an epoch if it is not 0."""
    command = json.dumps([asdict(setup), asdict(started), until, pause])
    done = subprocess.run(
        [sys.executable, "-c", RUNNING, command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == (-signal.SIGKILL if until else 0), done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_killed_trial_goes_on_to_the_same_model_and_costs_what_both_runs_took(
    setup: Setup, tmp_path: Path
) -> None:
    apart = replace(setup, trainings=str(tmp_path / "other trainings"))
    whole, _ = run(apart, job("bpr-mf", "whole"))
    killed_after = run(setup, job("bpr-mf", "killed"), until=5, pause=0.5)
    (file,) = Path(setup.trainings).iterdir()
    assert file.name == "trial"
    with safe_open(file, "pt") as kept:
        spent = json.loads(next(iter(kept.metadata().values())))["spent"]
    found, took = run(setup, job("bpr-mf", "continued"))
    assert [point[:3] for point in found["curve"]] == [point[:3] for point in whole["curve"]]
    assert [point[0] for point in found["curve"]] == list(range(1, EPOCHS + 1))
    models = [Path(result["artefact"]).read_bytes() for result in (whole, found)]
    assert models[0] == models[1]
    assert found["measurements"]["ndcg@10"] == whole["measurements"]["ndcg@10"]
    # Written first after an epoch that was held up for half a second.
    assert 0.5 < spent < found["train_seconds"] < killed_after + took
