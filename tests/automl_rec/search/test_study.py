"""Whole searches: real workers, a real database, planted data."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import psutil
import pytest

from automl_rec import export
from automl_rec.errors import SpaceError, StorageError, StudyFailedError, StudyMismatchError
from automl_rec.objectives.amount import amount
from automl_rec.search.events import StudyEnded, StudyEvent, StudyStarted
from automl_rec.search.study import Study, run
from automl_rec.storage.records import TrialRecord
from automl_rec.storage.repository import Repository

pytestmark = pytest.mark.slow

SpaceFile = Callable[[str], Path]
HEAD = """
data: {path: events.csv, split: {kind: random, validation: 0.2, test: 0.2}}
"""
PLAIN = HEAD + "objectives: {ndcg@10: maximize, bytes: minimize}\n"


def models(trials: tuple[TrialRecord, ...]) -> list[str]:
    return [next(iter(trial.configuration["model"])) for trial in trials]


def identities(trials: tuple[TrialRecord, ...]) -> list[tuple[object, ...]]:
    """All of a trial that never changes; its artefact goes when it leaves the front."""
    return [(t.number, t.uuid, t.digest, t.state, t.measurements, t.finished) for t in trials]


def test_a_search_records_its_trials_and_keeps_the_artefacts_of_the_front(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(
        PLAIN
        + "budget: {trials: 9}\nmodel: {ease: null, bpr-mf: {epochs: 3, width: {int: [8, 16]}}}\n"
        + "sparsity: [none, magnitude: {mode: one-shot}]\n"
    )
    heard: list[StudyEvent] = []
    study = run(space, out=tmp_path / "runs", listeners=[heard.append], seed=3)
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    ran = [trial for trial in study.trials if trial.worker]
    assert sum(trial.origin != "derived" for trial in ran) == 9
    assert {"popularity", "ease", "bpr-mf"} >= set(models(tuple(ran)))
    baselines = [trial for trial in study.trials if trial.origin == "baseline"]
    assert models(tuple(baselines)).count("ease") == 2
    assert "popularity" in models(tuple(baselines))
    front = study.front()
    assert front[0].measurements["ndcg@10"].value == max(
        trial.measurements["ndcg@10"].value for trial in ran if trial.state == "complete"
    )
    kept = {path.name for path in (tmp_path / "runs/planted/artefacts").iterdir()}
    assert kept == {Path(t.artefact.path).parent.name for t in front if t.artefact is not None}
    assert {name.partition("-")[0] for name in kept} == {trial.digest for trial in front}
    for trial in study.trials:
        assert (trial.artefact is not None) == (trial in front)
    kept_first = front[0].artefact
    assert kept_first is not None
    path = study.folder / kept_first.path
    stored = export.read_model(path)
    assert stored.configuration.as_dict() == front[0].configuration
    assert export.sha256(path) == kept_first.sha256
    assert path.stat().st_size == kept_first.bytes
    assert study.curves()
    volumes = [volume for _, volume in study.hypervolumes()]
    assert volumes == sorted(volumes)
    assert isinstance(heard[0], StudyStarted)
    assert isinstance(heard[-1], StudyEnded)
    assert heard[-1].why == "trials"
    assert heard[-1].hypervolume == pytest.approx(volumes[-1])

    again = run(space, out=tmp_path / "runs")
    assert again.trials == study.trials
    more = run(space, out=tmp_path / "runs", trials=11)
    assert identities(more.trials[: len(study.trials)]) == identities(study.trials)
    assert sum(t.worker is not None and t.origin != "derived" for t in more.trials) == 11
    assert len({trial.digest for trial in more.trials}) == len(more.trials)
    with pytest.raises(StudyMismatchError, match="--seed"):
        run(space, out=tmp_path / "runs", seed=4)
    space_file(space.read_text().replace("epochs: 3", "epochs: 4"))
    with pytest.raises(StudyMismatchError, match="space"):
        run(space, out=tmp_path / "runs")


@pytest.mark.parametrize("workers", [1, 2])
def test_one_training_gives_many_trials(
    space_file: SpaceFile, workers: int, tmp_path: Path
) -> None:
    space = space_file(
        PLAIN
        + "budget: {trials: 4}\n"
        + "model: {ease: {regularization: [10, 100]}, bpr-mf: {epochs: 3, width: [8, 16]}}\n"
        + "sparsity: {none: , magnitude: {mode: one-shot, density: [0.1, 0.3, 0.6]}}\n"
    )
    study = run(space, out=tmp_path / "runs", workers=workers)
    derived = [trial for trial in study.trials if trial.origin == "derived"]
    assert derived
    assert sum(bool(t.worker) for t in study.trials) == 4 + len(derived)
    seen = optuna.load_study(study_name=study.name, storage=study.url).trials
    for child in derived:
        assert child.parent is not None
        parent = study.trials[child.parent]
        assert (parent.training, parent.seed) == (child.training, child.seed)
        assert parent.configuration["model"] == child.configuration["model"]
        assert child.state == parent.state == "complete"
        assert child.train_seconds is not None
        assert seen[child.number].user_attrs["parent"] == parent.number
    shared = {trial.training for trial in study.front()}
    assert {path.name for path in (study.folder / "trainings").iterdir()} <= shared


@pytest.mark.parametrize("after_part", ["", "sparsity: {none: , magnitude: {density: [0.1, 0.3]}}"])
def test_a_search_removes_the_trainings_that_one_before_had_no_time_to(
    space_file: SpaceFile, after_part: str, tmp_path: Path
) -> None:
    space = space_file(f"{PLAIN}model: {{ease: {{regularization: [10, 100]}}}}\n{after_part}\n")
    study = run(space, out=tmp_path / "runs")
    folder = study.folder / "trainings"
    of_use = {path.name for path in folder.glob("*")}
    assert bool(of_use) == bool(after_part)
    folder.mkdir(exist_ok=True)
    for trial in study.trials:
        (folder / (trial.training or "x")).touch()
    (folder / f"{study.trials[0].training}.machine.7.part").touch()
    run(space, out=tmp_path / "runs")
    assert {path.name for path in folder.iterdir()} == of_use


@pytest.mark.usefixtures("unruly")
def test_a_study_is_extended_by_plugins_that_were_installed_since(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    text = PLAIN + "search: {workers: 1}\nmodel: {ease: {regularization: [10, 100]}"
    first = run(space_file(text + "}\n"), out=tmp_path / "runs")
    assert models(first.trials).count("ease") == 2
    heard: list[StudyEvent] = []
    wider = text.replace("100]", "100, 1000]") + ", unruly: {level: 0, behaviour: fine}}\n"
    found = run(space_file(wider), out=tmp_path / "runs", listeners=[heard.append])
    assert identities(found.trials[: len(first.trials)]) == identities(first.trials)
    assert sorted(models(found.trials)) == ["ease"] * 3 + ["popularity", "unruly"]
    assert isinstance(heard[0], StudyStarted)
    said = "The space has new model unruly; has wider model ease; what was found before it stands."
    assert said in heard[0].notes
    # What a plugin gave that is there no more stays, and the rest of the space goes on.
    (earlier,) = found.manifest.earlier
    assert earlier["space_digest"] == first.manifest.space_digest
    gone = text.replace("100]", "100, 1000, 10000]") + "}\n"
    with pytest.raises(StudyMismatchError, match="other space"):
        run(space_file(gone), out=tmp_path / "runs")
    last = run(space_file(gone), out=tmp_path / "runs", without=["unruly"])
    assert sorted(models(last.trials)) == ["ease"] * 4 + ["popularity", "unruly"]
    with Repository.open(last.url) as repository:
        assert len(repository.study("planted").trials()) == 6
    # Optuna reads trials whose choices differ from one another.
    theirs = optuna.load_study(storage=last.url, study_name="planted").trials
    assert [trial.number for trial in theirs] == list(range(6))


@pytest.mark.usefixtures("unruly")
def test_failures_are_recorded_with_their_reason_and_the_study_goes_on(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(PLAIN + "model: {unruly: {level: 0}}\nsearch: {workers: 1}\n")
    text = space.read_text()
    behaviours = "[fine, raise, die, die-once, print, nan]"
    space.write_text(text.replace("level: 0", f"level: 0, behaviour: {behaviours}"))
    heard: list[StudyEvent] = []
    study = run(space, out=tmp_path / "runs", listeners=[heard.append])
    found = {
        trial.configuration["model"]["unruly"]["behaviour"]: trial
        for trial in study.trials
        if "unruly" in trial.configuration["model"]
    }
    assert {name: trial.state for name, trial in found.items()} == {
        "fine": "complete",
        "print": "complete",
        "die-once": "complete",
        "raise": "failed",
        "die": "failed",
        "nan": "failed",
    }
    assert found["raise"].reason is not None
    assert found["raise"].reason.startswith("ValueError: no such luck (at unruly:")
    assert found["die"].reason == "Its worker was killed by SIGKILL."
    log = (tmp_path / "runs/planted/logs/worker-0.log").read_text()
    assert "no such luck" in log
    assert "noise" in log
    assert "DivergenceError" in (found["nan"].reason or "")
    assert isinstance(heard[-1], StudyEnded)
    assert heard[-1].why == "exhausted"
    assert found["fine"].measurements["ndcg@10"] == found["print"].measurements["ndcg@10"]


@pytest.mark.usefixtures("unruly")
def test_a_study_of_which_nothing_came_names_the_commonest_reason(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(PLAIN + "model: {unruly: {behaviour: raise}}\n")
    with pytest.raises(StudyFailedError, match="no such luck"):
        run(space, out=tmp_path / "runs")
    assert Study.open("planted", out=tmp_path / "runs").trials


@pytest.mark.usefixtures("unruly")
def test_a_trial_far_beyond_its_time_is_ended(space_file: SpaceFile, tmp_path: Path) -> None:
    space = space_file(
        PLAIN + "model: {unruly: {behaviour: [sleep, fine]}}\nbudget: {trial_time: 1s}\n"
    )
    study = run(space, out=tmp_path / "runs", workers=1)
    states = {
        trial.configuration["model"]["unruly"]["behaviour"]: trial
        for trial in study.trials
        if "unruly" in trial.configuration["model"]
    }
    assert states["sleep"].state == "failed"
    assert "beyond its" in (states["sleep"].reason or "")
    assert states["fine"].state == "complete"


@pytest.mark.usefixtures("unruly")
def test_a_trial_beyond_its_memory_is_ended_and_the_study_goes_on(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    behaviours = "[allocate, allocate-in-child, fine]"
    space = space_file(
        PLAIN + f"model: {{unruly: {{behaviour: {behaviours}}}}}\nresources: {{memory: 800MB}}\n"
    )
    study = run(space, out=tmp_path / "runs", workers=1)
    found = {
        trial.configuration["model"]["unruly"]["behaviour"]: trial
        for trial in study.trials
        if "unruly" in trial.configuration["model"]
    }
    assert {name: trial.state for name, trial in found.items()} == {
        "allocate": "failed",
        "allocate-in-child": "failed",
        "fine": "complete",
    }
    for name in ("allocate", "allocate-in-child"):
        assert "more than the 800 MB that resources.memory" in (found[name].reason or "")


def test_gpus_are_refused_without_a_cluster_and_leave_no_study(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(PLAIN + "model: popularity\nresources: {gpus: 0.5}\n")
    with pytest.raises(SpaceError, match=r"got 0\.5\. Search with --engine ray, or leave it out"):
        run(space, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("unruly")
def test_the_time_budget_ends_trainings_and_they_are_measured(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(PLAIN + "model: {slow: {batch_size: 256}}\n")
    ended: list[float] = []
    began: list[float] = []

    def listen(event: StudyEvent) -> None:
        if isinstance(event, StudyStarted):
            began.append(time.monotonic())
        if isinstance(event, StudyEnded):
            ended.append(time.monotonic())
            assert event.why == "time"

    study = run(space, out=tmp_path / "runs", seconds=15, workers=1, listeners=[listen])
    assert ended[0] - began[0] < 15 + 8
    last = study.trials[-1]
    assert last.state == "complete"
    assert last.reason == "Training ended at its time limit."


def test_a_bound_refuses_before_anything_is_trained(space_file: SpaceFile, tmp_path: Path) -> None:
    space = space_file(
        HEAD + "objectives: {ndcg@10: maximize, bytes: {minimize: true, max: 500B}}\n"
        "model: {ease: {regularization: [10, 100]}}\n"
        "sparsity: {magnitude: {mode: one-shot, density: [0.01, 1.0]}}\n"
    )
    study = run(space, out=tmp_path / "runs", workers=1)
    refused = [trial for trial in study.trials if trial.state == "pruned"]
    assert refused
    for trial in refused:
        assert trial.worker is None
        least = amount(trial.measurements["bytes"].value, "B")
        beyond = amount(trial.measurements["bytes"].value - 500, "B")
        said = f"Refused on price: bytes at least {least}, {beyond} beyond the bound."
        assert trial.reason == said
        assert trial.measurements["bytes"].value > 500
        assert trial.violations["bytes"] == trial.measurements["bytes"].value - 500
    for trial in study.trials:
        if trial.state == "complete":
            assert trial.measurements["bytes"].value <= 500


def test_a_bound_that_nothing_keeps_is_a_failure_that_names_the_nearest(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(
        HEAD + "objectives: {ndcg@10: maximize, bytes: {minimize: true, max: 10B}}\n"
        "model: {ease: {regularization: [10, 100]}}\n"
    )
    # Popularity stores one 4-byte count of each of 40 items.
    nearest = "none could be run; the nearest: Refused on price: bytes at least 160 B, 150 B beyond"
    with pytest.raises(StudyFailedError, match=nearest):
        run(space, out=tmp_path / "runs", workers=1)


def test_a_deterministic_search_gives_the_same_trials_twice(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(
        PLAIN + "budget: {trials: 8}\nmodel: {bpr-mf: {epochs: 2}, ease: null}\n"
        "sparsity: [none, magnitude]\nsearch: {sampler: random}\n"
    )
    one, other = (
        run(space, out=tmp_path / name, workers=2, deterministic=True) for name in ("a", "b")
    )
    assert [t.digest for t in one.trials] == [t.digest for t in other.trials]
    assert [t.measurements for t in one.trials] == [t.measurements for t in other.trials]


SCRIPT = """
import json, sys
from automl_rec.search.study import run

def say(event):
    print(type(event).__name__, flush=True)

if __name__ == "__main__":
    run(sys.argv[1], out=sys.argv[2], workers=2, trials=6, listeners=[say])
"""


def begin(space: Path, out: Path, site: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(space), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def await_lines(process: subprocess.Popen[str], wanted: str, times: int) -> None:
    assert process.stdout is not None
    seen: Counter[str] = Counter()
    for line in process.stdout:
        seen[line.strip()] += 1
        if seen[wanted] >= times:
            return
    assert process.stderr is not None
    raise AssertionError(f"it ended after {seen}: {process.stderr.read()}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_ended_search_goes_on_with_nothing_lost(
    space_file: SpaceFile, tmp_path: Path, unruly: Path, how: signal.Signals
) -> None:
    space = space_file(PLAIN + "model: {slow: {batch_size: 1024, epochs: 3}}\n")
    process = begin(space, tmp_path / "runs", unruly)
    try:
        await_lines(process, "TrialFinished", 2)
        await_lines(process, "TrialReported", 1)
        with pytest.raises(StorageError, match="is being searched by process"):
            run(space, out=tmp_path / "runs", workers=1)
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
    before = Study.open("planted", out=tmp_path / "runs").trials
    assert len(before) >= 2
    study = run(space, out=tmp_path / "runs", workers=2, trials=6)
    assert identities(study.trials[: len(before)]) == identities(before)
    ran = [trial for trial in study.trials if trial.worker]
    assert len(ran) == 6
    assert len({trial.uuid for trial in study.trials}) == len(study.trials)
    assert len({trial.digest for trial in study.trials}) == len(study.trials)
    assert all(trial.state == "complete" for trial in ran)


def test_a_worker_that_is_killed_has_its_trial_run_again(
    space_file: SpaceFile, tmp_path: Path, unruly: Path
) -> None:
    space = space_file(PLAIN + "model: {slow: {batch_size: 1024, epochs: 3}}\n")
    process = begin(space, tmp_path / "runs", unruly)
    try:
        await_lines(process, "TrialReported", 1)
        # All of them: which one runs the trial that reported is not known, the other may be idle.
        for worker in psutil.Process(process.pid).children():
            worker.kill()
        await_lines(process, "TrialRequeued", 1)
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "StudyEnded" in output
    study = Study.open(tmp_path / "runs" / "planted")
    assert [trial.state for trial in study.trials] == ["complete"] * 6


def test_a_study_is_opened_from_within_its_folder_and_through_a_link(
    space_file: SpaceFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(space_file(PLAIN + "budget: {trials: 1}\nmodel: popularity\n"), out=tmp_path / "runs")
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "runs" / "planted")
    assert Study.open(link).name == "planted"
    monkeypatch.chdir(link)
    assert Study.open(".").name == "planted"


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "/abs", "a/b", "a\\b", "a\nb"])
def test_a_study_cannot_be_named_out_of_its_folder(
    name: str, space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(PLAIN + "model: popularity\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SpaceError, match="must be the name of a folder, without slashes, got"):
        run(space, out=tmp_path / "runs", name=name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(
    space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(PLAIN + "model: popularity\n")
    with pytest.raises(StorageError, match="cannot be made: Not a directory"):
        run(space, out=tmp_path / "events.csv")
