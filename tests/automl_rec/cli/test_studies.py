"""``automl-rec studies`` and ``worker``: what they print, and what they refuse."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from automl_rec.cli import main

EVENTS = "user,item\n" + "".join(f"u{u},i{(u + n) % 9}\n" for u in range(12) for n in range(4))
SPACE = "data: {path: events.csv}\nobjectives: [ndcg@5, bytes]\nmodel: popularity\n"
pytestmark = pytest.mark.slow


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "space.yaml").write_text(SPACE)
    runs = tmp_path / "runs"
    options = ["--out", str(runs), "--workers", "1", "--json"]
    assert main(["search", str(tmp_path / "space.yaml"), *options]) == 0
    return runs


def test_studies_and_those_who_run_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["studies", "--out", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "1 study"
    assert lines[2].split() == ["space", "1", "0", "0", "0", "0", "0", "-", "0"]
    # It has left: only the list for programs still names it.
    assert "Processes" not in "".join(lines)
    assert main(["studies", "--out", str(runs), "--json"]) == 0
    (study,) = json.loads(capsys.readouterr().out)
    assert study["study"] == "space"
    (process,) = study["processes"]
    assert (process["role"], process["state"], process["trials_at_once"]) == ("search", "left", 1)


def test_where_there_is_no_study_there_is_an_empty_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["studies", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["studies", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("There is no study; ")


def test_a_worker_of_other_plugins_ends_with_status_two(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(runs / "space" / "study.db")) as connection, connection:
        connection.execute('UPDATE automl_rec_study SET plugins = \'{"automl-rec": "9.9"}\'')
    assert main(["worker", "space", "--out", str(runs)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("automl-rec: The study 'space' needs automl-rec 9.9 (here: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--workers", "0", "--workers must be at least 1, got 0. Raise it."),
        ("--drain", "soon", "--drain must be a duration, got 'soon'. Write 90s, 30m or 1h."),
    ],
)
def test_an_impossible_option_is_bad_input(
    option: str, value: str, message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["worker", "space", "--out", str(runs), option, value]) == 2
    assert capsys.readouterr().err == f"automl-rec: {message}\n"
