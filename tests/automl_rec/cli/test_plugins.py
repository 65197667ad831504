"""``automl-rec plugins``: what is listed, and what of it is broken."""

import json
from pathlib import Path

import pytest

from automl_rec.cli import main

BROKEN = (
    "Plugin \"acme\" (acme-recs 1.0) could not be imported: No module named 'acme_absent'. "
    "Install its requirements, or block it with --without acme."
)


@pytest.fixture(autouse=True)
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution whose one plugin cannot be imported."""
    folder = tmp_path / "acme_recs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-recs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[automl_rec]\nacme = acme_absent\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("arguments", [[], ["rank"]])
def test_a_broken_plugin_is_shown_whatever_kind_is_asked_for(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", *arguments]) == 0
    assert f"acme (acme-recs 1.0) is broken: {BROKEN}" in capsys.readouterr().out


def test_json_lists_components_and_broken_plugins_with_their_state(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"model", "embedding", "sparsity", "rank", "plugin"} == {row["kind"] for row in rows}
    (found,) = (row for row in rows if row["state"] == "broken")
    assert (found["name"], found["distribution"], found["version"]) == ("acme", "acme-recs", "1.0")
    assert found["reason"] == BROKEN


def test_json_of_a_kind_holds_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "rank", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [
        "afm",
        "btt",
        "condlr",
        "dlrt",
        "full",
        "maestro",
        "sltrain",
        "svd",
    ]


def test_a_broken_plugin_is_shown_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "acme"]) == 0
    assert capsys.readouterr().out == f"plugin acme\nfrom acme-recs 1.0\nbroken: {BROKEN}\n"


def test_a_misspelt_name_is_bad_input_with_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins", "bprmf"]) == 2
    assert capsys.readouterr().err.endswith('Did you mean "bpr-mf"?\n')
