"""A study of single events, from its rows to probabilities."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_rec import load
from automl_rec.cli import main
from automl_rec.errors import DataError
from automl_rec.registry import Registry
from automl_rec.search.study import Study, run
from automl_rec.serving import Ranker

SPACE = """
data: {path: rows.csv, task: ranking, columns: {user: person}, fields: {device: categorical}}
objectives: {logloss: minimize, gauc: maximize, bytes: minimize}
budget: {trials: 4}
search: {workers: 1}
model: {fm: {width: 4, epochs: 3, batch_size: 512}, lr: {epochs: 3, batch_size: 512}}
"""


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    person, item, device = (generator.integers(0, n, 2000) for n in (20, 10, 3))
    likely = np.where((person + item) % 2 == 0, 0.9, 0.1)
    label = (generator.random(2000) < likely).astype(int)
    return pl.DataFrame({"person": person, "item": item, "device": device, "label": label})


@pytest.mark.slow
def test_a_study_ends_in_probabilities(
    tmp_path: Path, rows: pl.DataFrame, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.write_csv(tmp_path / "rows.csv")
    (tmp_path / "clicks.yaml").write_text(SPACE)
    study = run(tmp_path / "clicks.yaml", out=tmp_path / "runs", registry=registry)
    assert [next(iter(trial.configuration["model"])) for trial in study.trials[:2]] == ["lr", "fm"]
    assert "popularity" not in {next(iter(t.configuration["model"])) for t in study.trials}
    losses = [trial.measurements["logloss"].value for trial in study.front()]
    assert losses == sorted(losses)
    again = Study.open(tmp_path / "runs" / "clicks")
    told = "\n".join(again.sentences())
    assert "logloss" in told
    assert "a constant answer" in told
    assert again.manifest.data["constant"]["logloss"] == pytest.approx(np.log(2), abs=0.02)
    shipped = again.export(tmp_path / "model", pick="best")
    assert set(shipped.measurements["test"]) == {"logloss", "gauc"}
    loaded = load(tmp_path / "model")
    assert isinstance(loaded, Ranker)
    found = loaded.predict(rows)["probability"].to_numpy()
    assert found.shape == (2000,)
    assert ((found > 0) & (found < 1)).all()
    assert main(["check", str(tmp_path / "clicks.yaml")]) == 0
    out = capsys.readouterr().out
    assert "Data: 2,000 rows of 3 fields, 1,600 of them to train on" in out
    assert "multiply-adds for 1,000 rows" in out


def test_gauc_without_users_is_refused_before_anything_runs(
    tmp_path: Path, rows: pl.DataFrame, registry: Registry
) -> None:
    rows.drop("person").write_csv(tmp_path / "rows.csv")
    (tmp_path / "clicks.yaml").write_text(SPACE.replace("columns: {user: person}, ", ""))
    with pytest.raises(DataError, match="gauc needs"):
        run(tmp_path / "clicks.yaml", out=tmp_path / "runs", registry=registry)
    assert not (tmp_path / "runs").exists()
