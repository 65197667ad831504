"""``automl-rec check``: what is said of a sound space."""

from pathlib import Path

import pytest

from automl_rec.cli import main

EVENTS = "user,item\n" + "".join(f"u{u},i{(u + n) % 9}\n" for u in range(12) for n in range(4))
FEASIBLE = "No sampled configuration is feasible"


@pytest.fixture
def space(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(EVENTS)
    return tmp_path / "space.yaml"


def checked(space: Path, objectives: str, capsys: pytest.CaptureFixture[str]) -> str:
    space.write_text(f"data: {{path: events.csv}}\nobjectives: {objectives}\nmodel: popularity\n")
    assert main(["check", str(space)]) == 0
    return capsys.readouterr().out


def test_a_sound_space_is_counted_and_priced(
    space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = checked(space, "[ndcg@5, bytes]", capsys)
    assert "is sound: 1 configuration of 1 model." in shown
    assert "Data: 12 users, 9 items, 24 train events, split random." in shown
    assert ["popularity", "36", "B", "0", "200", "0"] in [
        line.split() for line in shown.split("\n")
    ]
    assert FEASIBLE not in shown


def test_bounds_that_nothing_keeps_are_told(
    space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert FEASIBLE in checked(space, "{ndcg@5: maximize, bytes: {max: 35B}}", capsys)
    assert FEASIBLE not in checked(space, "{ndcg@5: maximize, bytes: {max: 36B}}", capsys)


def test_the_commonest_refusal_is_told(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = checked(space, "{ndcg@5: maximize, bytes: {max: 30B}}", capsys)
    why = "Refused on price: bytes at least 36 B, 6 B beyond the bound."
    assert f"The commonest refusal (200 of 200): {why}" in shown
    assert "The commonest refusal" not in checked(space, "[ndcg@5, bytes]", capsys)


def test_one_field_is_counted_as_one(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "colour,click\n" + "red,1\nblue,0\n" * 40
    (space.parent / "rows.csv").write_text(rows)
    data = "{task: ranking, path: rows.csv, fields: {colour: categorical}}"
    space.write_text(f"data: {data}\nobjectives: [auc, bytes]\nmodel: lr\n")
    assert main(["check", str(space)]) == 0
    assert "Data: 80 rows of 1 field, 64 of them to train on," in capsys.readouterr().out
