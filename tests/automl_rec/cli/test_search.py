"""``automl-rec search``: what is refused, and that it leaves nothing behind."""

from pathlib import Path

import pytest

from automl_rec.cli import main

EVENTS = "user,item\n" + "".join(f"u{u},i{(u + n) % 9}\n" for u in range(12) for n in range(4))
SPACE = "data: {path: events.csv}\nobjectives: [ndcg@5, bytes]\nmodel: popularity\n"


@pytest.fixture
def space(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path / "space.yaml"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--trials", "0", "--trials must be at least 1, got 0. Raise it."),
        ("--workers", "0", "--workers must be at least 1, got 0. Raise it."),
        ("--seed", "-1", "--seed must be at least 0, got -1. Raise it."),
        ("--timeout", "0", "--timeout must be a duration, got '0'. Write 90s, 30m or 1h."),
        ("--timeout", "3x", "--timeout must be a duration, got '3x'. Write 90s, 30m or 1h."),
    ],
)
def test_an_impossible_option_is_bad_input(
    option: str, value: str, message: str, space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", str(space), "--out", str(space.parent / "runs"), option, value]) == 2
    assert capsys.readouterr().err == f"automl-rec: {message}\n"
    assert not (space.parent / "runs").exists()


@pytest.mark.parametrize("others", [False, True])
def test_bad_data_leave_no_folder_behind_but_those_of_others(
    *, others: bool, space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = space.parent / "deep" / "runs"
    if others:
        (runs / "another").mkdir(parents=True)
    (space.parent / "events.csv").write_text(EVENTS + "u1\n")
    assert main(["search", str(space), "--out", str(runs), "--workers", "1"]) == 2
    assert "events.csv: row 50 has 1 fields where the header has 2" in capsys.readouterr().err
    assert [path.name for path in runs.glob("*")] == (["another"] if others else [])
    assert runs.parent.exists() == others
