"""Trials of a machine that does not see the study's folder."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from automl_rec import export
from automl_rec.data import prepare
from automl_rec.data.travel import Files, packed
from automl_rec.objectives import resolve
from automl_rec.registry import Registry
from automl_rec.search.desk import Desk
from automl_rec.search.engine import Setup
from automl_rec.search.enumeration import draw
from automl_rec.search.outpost import Marker, Outpost
from automl_rec.space.checker import read_space
from automl_rec.testing.planted import planted_interactions
from automl_rec.training.progress import Progress

pytestmark = pytest.mark.slow

SPACE = """
data: {path: events.csv, split: {kind: random, validation: 0.2, test: 0.2}}
objectives: {ndcg@10: maximize, bytes: minimize}
model: {bpr-mf: {width: 8, epochs: 4}}
"""


class Study:
    """A study's folder and data, and what was asked of its desk."""

    def __init__(self, folder: Path) -> None:
        planted = planted_interactions(0, users=60, items=40, blocks=4, events=15, heldout=3)
        parts = (planted.catalog.histories, planted.heldout)
        users = np.concatenate([part.users() for part in parts])
        items = np.concatenate([part.items for part in parts])
        pl.DataFrame({"user": users, "item": items}).write_csv(folder / "events.csv")
        (folder / "space.yaml").write_text(SPACE)
        space = read_space(folder / "space.yaml", Registry.discover())
        self.data_here = prepare(space.data, folder / "prepared")
        self.folder = folder / "study"
        self.setup = Setup(
            str(self.data_here.folder),
            tuple(asdict(o) for o in resolve(space.objectives, space.data.task)),
            str(self.folder / "artefacts"),
            str(self.folder / "trainings"),
        )
        self.desk = Desk(self.folder / "artefacts", self.folder / "trainings")
        self.sent: list[bytes] = []
        configuration = draw(space, np.random.default_rng(0))
        self.job = {
            "configuration": configuration.as_dict(),
            "seed": 3,
            "training": "trial",
            "run": "run",
            "seconds": None,
            "keep": False,
        }

    def outpost(self, marker: Marker) -> Outpost:
        return Outpost(self.setup, self.data_here.digest, marker, self)

    def data(self) -> Files:
        return packed(self.data_here)

    def training(self, trial: str) -> bytes | None:
        return asyncio.run(self.desk.training(trial))

    def keep_training(self, trial: str, content: bytes) -> None:
        self.sent.append(content)
        asyncio.run(self.desk.keep_training(trial, content))

    def keep_model(self, run: str, content: bytes) -> str:
        return asyncio.run(self.desk.keep_model(run, content))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture
def unseen(tmp_path: Path) -> Marker:
    return Marker(str(tmp_path / "absent"), "word")


def listening(curve: list[int], last: int = 9) -> Callable[[Progress], bool]:
    def report(progress: Progress) -> bool:
        curve.append(progress.epoch)
        return progress.epoch < last

    return report


def steady(outcome: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on the time."""
    return {
        name: value for name, value in outcome.items() if name not in ("train_seconds", "curve")
    } | {"curve": [point[:3] for point in outcome["curve"]]}


def test_a_marker_is_seen_by_its_word(tmp_path: Path) -> None:
    marker = Marker(str(tmp_path / "marker"), "word")
    assert not marker.seen()
    (tmp_path / "marker").write_text("another")
    assert not marker.seen()
    (tmp_path / "marker").write_bytes(b"\xff\xfe")
    assert not marker.seen()
    (tmp_path / "marker").write_text("word")
    assert marker.seen()


def test_a_trial_out_of_sight_leaves_at_home_what_it_would_have_left_there(
    study: Study, unseen: Marker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marker").write_text("word")
    near = study.outpost(Marker(str(tmp_path / "marker"), "word"))
    expected = dict(near.attempt(study.job, listening([])))
    assert study.sent == []
    content = Path(expected["artefact"]).read_bytes()
    Path(expected["artefact"]).unlink()
    (study.folder / "trainings/trial").unlink()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    found = dict(study.outpost(unseen).attempt(study.job, listening([])))
    assert steady(found) == steady(expected)
    assert Path(found["artefact"]).read_bytes() == content
    assert export.sha256(Path(found["artefact"])) == found["artefact_sha256"]
    assert study.sent
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_trial_out_of_sight_goes_on_from_what_another_machine_sent(
    study: Study, unseen: Marker, tmp_path: Path
) -> None:
    whole = dict(study.outpost(unseen).attempt(study.job, listening([])))
    (study.folder / "trainings/trial").unlink()

    def lost(progress: Progress) -> bool:
        if progress.epoch == 3:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        study.outpost(unseen).attempt(study.job, lost)
    epochs: list[int] = []
    found = dict(study.outpost(unseen).attempt(study.job, listening(epochs)))
    assert epochs[0] > 1
    assert epochs[-1] == 4
    assert steady(found) == steady(whole)


def test_a_kept_training_is_sent_home_whole_and_brought_to_the_next(
    study: Study, unseen: Marker
) -> None:
    kept = {**study.job, "keep": True}
    first = dict(study.outpost(unseen).attempt(kept, listening([])))
    assert (study.folder / "trainings/trial").read_bytes() == study.sent[-1]
    epochs: list[int] = []
    found = dict(study.outpost(unseen).attempt(study.job, listening(epochs)))
    assert epochs == [], "nothing is trained again"
    assert steady(found) == steady(first)


def test_a_home_that_cannot_keep_a_model_is_told(study: Study, unseen: Marker) -> None:
    study.folder.mkdir(exist_ok=True)
    (study.folder / "artefacts").write_text("in the way")
    outcome = study.outpost(unseen).attempt(study.job, listening([]))
    assert outcome["type"] == "failed"
    assert outcome["how"] == "storage"
    assert "could not be written" in outcome["reason"]


def test_a_training_that_is_ended_sends_no_model(study: Study, unseen: Marker) -> None:
    outcome = study.outpost(unseen).attempt(study.job, listening([], last=2))
    assert outcome["stopped"] == "early"
    assert "artefact" not in outcome
    assert not (study.folder / "artefacts").exists()
