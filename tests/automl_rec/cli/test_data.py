"""``automl-rec data``: what is built in, and what data look like once prepared."""

import json
from pathlib import Path

import pytest

from automl_rec.cli import main

ROWS = "user,item,click,hour\n" + "".join(
    f"u{n % 3},i{n % 4},{n % 2},{n % 24}\n" for n in range(60)
)
SPACE = """\
data: {path: rows.csv, task: ranking, fields: {hour: binned}, min_count: 15}
objectives: [auc, bytes]
model: lr
"""


@pytest.fixture
def space(tmp_path: Path) -> str:
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "space.yaml").write_text(SPACE)
    return str(tmp_path / "space.yaml")


def test_rows_are_described_with_their_fields(
    space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "describe", space]) == 0
    printed = capsys.readouterr().out
    assert "task: ranking" in printed
    assert "rows: 60" in printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["user", "categorical", "user", "4"] in lines
    assert ["hour", "binned", "hour", "1"] in lines
    assert "note: Field item: " in printed


def test_json_describes_them_as_plain_data(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "describe", space, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["train"], found["validation"], found["test"]) == (48, 6, 6)
    assert [field["name"] for field in found["fields"]] == ["user", "item", "hour"]


def test_built_in_data_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert main(["data", "describe", found["source"]]) == 0
    assert "task: retrieval\nusers: 671\n" in capsys.readouterr().out
