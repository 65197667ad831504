"""A process that joins a study is checked first, then it runs trials."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from automl_rec.errors import NotStoredError, StudyMismatchError
from automl_rec.registry import Registry
from automl_rec.search.events import StudyEnded, StudyEvent, TrialFinished
from automl_rec.search.joining import check_plugins, join
from automl_rec.search.overview import overviews
from automl_rec.search.study import Study, run
from automl_rec.storage.records import StoredBudget
from automl_rec.storage.repository import Repository

SpaceFile = Callable[[str], Path]
pytestmark = pytest.mark.slow
SPACE = """
data: {path: events.csv, split: {kind: random, validation: 0.2, test: 0.2}}
objectives: {ndcg@10: maximize, bytes: minimize}
model: {ease: {regularization: {float: [1, 1000]}}}
"""


def grow(study: Study, trials: int) -> None:
    """Lets a study go on, without a search that does."""
    with Repository.open(study.url) as repository:
        repository.study(study.name).set_budget(StoredBudget(trials=trials))


@pytest.fixture
def study(space_file: SpaceFile, tmp_path: Path) -> Study:
    return run(space_file(SPACE), out=tmp_path / "runs", trials=3, workers=1)


def test_a_worker_runs_what_is_left_of_the_budget(study: Study, tmp_path: Path) -> None:
    grow(study, 6)
    heard: list[StudyEvent] = []
    join("planted", out=tmp_path / "runs", workers=1, listeners=[heard.append])
    again = Study.open(study.folder)
    assert sum(trial.worker is not None for trial in again.trials) == 6
    assert [e.trial.number for e in heard if isinstance(e, TrialFinished)] == [3, 4, 5]
    end = heard[-1]
    assert isinstance(end, StudyEnded)
    assert end.why == "trials"
    # What the front kept lies where the search put its own.
    for trial in again.front():
        assert trial.artefact is not None
        assert (again.folder / trial.artefact.path).is_file()


def test_two_workers_share_a_study(study: Study, tmp_path: Path) -> None:
    grow(study, 11)
    threads = [
        threading.Thread(
            target=join, args=("planted",), kwargs={"out": tmp_path / "runs", "workers": 1}
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = Study.open(study.folder).trials
    assert sum(trial.worker is not None for trial in trials) == 11
    assert len({trial.digest for trial in trials}) == len(trials)


def test_other_versions_of_plugins_are_refused_with_the_difference(study: Study) -> None:
    registry = Registry.discover()
    check_plugins(study.manifest, registry)
    # What is installed beside them does not matter.
    fewer = dataclasses.replace(study.manifest, plugins={})
    check_plugins(fewer, registry)
    other = {"automl-rec": "0.0.9", "acme-recs": "2.1"}
    with pytest.raises(StudyMismatchError) as refused:
        check_plugins(dataclasses.replace(study.manifest, plugins=other), registry)
    assert str(refused.value).startswith(
        "The study 'planted' needs automl-rec 0.0.9 (here: 0.1.0), acme-recs 2.1 (here: not "
        "installed). Install what it ran with (pip install automl-rec==0.0.9 acme-recs==2.1)"
    )


def test_other_data_are_refused_before_a_trial_is_taken(study: Study, tmp_path: Path) -> None:
    grow(study, 6)
    events = tmp_path / "events.csv"
    events.write_text(events.read_text() + "1,1\n2,2\n3,3\n")
    with pytest.raises(StudyMismatchError, match=r"has data of digest \w{12}, those here have"):
        join("planted", out=tmp_path / "runs", workers=1)
    with Repository.open(study.url) as repository:
        claims = repository.study("planted").claims
        assert claims.running() == []
        assert [worker.role for worker in claims.workers()] == ["search"]


def test_a_machine_with_its_data_elsewhere_gives_its_own_copy_of_the_space(
    study: Study, tmp_path: Path
) -> None:
    grow(study, 4)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "events.csv").rename(elsewhere / "events.csv")
    copy = elsewhere / "copy.yaml"
    copy.write_text(SPACE.replace("1000", "2000"))
    with pytest.raises(StudyMismatchError, match="has another space than"):
        join("planted", out=tmp_path / "runs", workers=1, space=copy)
    copy.write_text(SPACE)
    join("planted", out=tmp_path / "runs", workers=1, space=copy)
    assert sum(t.worker is not None for t in Study.open(study.folder).trials) == 4


def test_a_study_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotStoredError, match="no study database"):
        join("nowhere", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(NotStoredError, match="must have the name of a folder"):
        join("a\0b", out=tmp_path / "runs")


def test_studies_are_listed_with_who_runs_them(study: Study, tmp_path: Path) -> None:
    (found,) = overviews(storage=None, out=tmp_path / "runs")
    assert (found.name, found.running, found.waiting) == ("planted", 0, 0)
    assert found.counts == {"complete": 3}
    assert found.budget == StoredBudget(trials=3)
    (process,) = found.processes
    assert (process.state, process.trials, process.worker.role) == ("left", 0, "search")
    (by_url,) = overviews(storage=study.url, out=tmp_path)
    assert (by_url.name, by_url.counts) == (found.name, found.counts)
