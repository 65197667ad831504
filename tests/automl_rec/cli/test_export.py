"""``automl-rec front`` and ``export``: what is asked for and is not there."""

from pathlib import Path

import pytest

from automl_rec.cli import main
from automl_rec.search.study import run

EVENTS = "user,item\n" + "".join(f"u{u},i{(u + n) % 9}\n" for u in range(12) for n in range(4))
SPACE = "data: {path: events.csv}\nobjectives: [ndcg@5, bytes]\nbudget: {trials: 1}\n"


@pytest.mark.parametrize("command", ["front", "export"])
def test_a_study_that_is_not_there_is_bad_input(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"front": ["--out"], "export": ["--out", str(tmp_path / "artefact"), "--runs"]}
    assert main([command, "absent", *where[command], str(tmp_path)]) == 2
    assert "There is no study database at" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_pick_that_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "space.yaml").write_text(SPACE + "model: popularity\n")
    run(tmp_path / "space.yaml", out=tmp_path / "runs", workers=1)
    capsys.readouterr()
    export = ["export", "space", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "a")]
    for options, status, message in (
        (["--pick", "99"], 2, "has trials 0 to 0, asked for was 99."),
        (["--pick", "best-of-all"], 2, "A pick must be one of knee, best, max-bytes=VALUE,"),
        (["--pick", "max-bytes=1XB"], 2, "must be a number, with a unit if it has one, got '1XB'"),
        (["--pick", "max-bytes=1B"], 1, "has no trial that is max-bytes=1B."),
        (["--pick", "best", "--confirm", "-1"], 2, "confirm must be 0 or more trainings, got -1"),
    ):
        assert main([*export, *options]) == status
        assert message in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert main([*export, "--pick", "best"]) == 0
    assert "popularity" in capsys.readouterr().out


def test_the_front_is_json_or_csv_and_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["front", "absent", "--json", "--csv"])
    assert "argument --csv: not allowed with argument --json" in capsys.readouterr().err
