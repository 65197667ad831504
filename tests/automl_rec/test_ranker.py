"""Artefacts that judge single events: the same judgement wherever they are loaded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest

from automl_rec import export, serving
from automl_rec.builder import build, finalize
from automl_rec.cli import main
from automl_rec.cli.predict import FORMATS
from automl_rec.data import ColumnNames, DataRequest, FeatureFile, Prepared, prepare
from automl_rec.data.request import Format
from automl_rec.data.row_batches import rows_of
from automl_rec.errors import DataError, ExportError
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration

CONFIGURATION = Configuration(
    Chosen("fm", {"width": 4, "regularization": 1e-6}),
    embedding=Chosen(
        "hash",
        {
            "sized_by": "ratio",
            "ratio": 0.5,
            "hashes": 2,
            "combine": "sum",
            "hot_share": 0.25,
            "precision": "fp32",
        },
    ),
    rank=Chosen("full"),
    sparsity=Chosen("none"),
)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user": [f"u{n}" for n in generator.integers(0, 12, 300)],
            "item": generator.integers(0, 9, 300),
            "tags": ["|".join("abc"[: n % 4]) for n in range(300)],
            "price": generator.random(300).round(3),
            "label": generator.integers(0, 2, 300),
        }
    )


@pytest.fixture(scope="module")
def rows(events: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("rows")
    events.write_csv(folder / "events.csv")
    pl.DataFrame({"item": range(9), "shelf": [n % 3 for n in range(9)]}).write_csv(
        folder / "items.csv"
    )
    request = DataRequest(
        path=str(folder / "events.csv"),
        task="ranking",
        fields={"tags": "multi", "price": "numeric"},
        item_features=FeatureFile(str(folder / "items.csv"), {"shelf": "categorical"}),
    )
    return prepare(request, folder / "cache")


@pytest.fixture(scope="module")
def artefact(rows: Prepared, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    served = finalize(build(CONFIGURATION, rows.catalog, registry, seed=0))
    export.write_model(folder / "trial" / export.MODEL, served, CONFIGURATION)
    content = export.Artefact(folder / "trial" / export.MODEL, {}, rows, {}, {})
    return export.write(folder / "artefact", content)


def ranker(folder: Path) -> serving.Ranker:
    loaded = serving.load(folder)
    assert isinstance(loaded, serving.Ranker)
    return loaded


def test_the_folder_holds_fields_and_no_histories(artefact: Path) -> None:
    names = {path.name for path in artefact.iterdir()}
    assert names == {*export.FILES["ranking"], export.MANIFEST}


def test_raw_rows_are_judged_as_the_prepared_ones(
    artefact: Path, rows: Prepared, registry: Registry, events: pl.DataFrame
) -> None:
    served = finalize(build(CONFIGURATION, rows.catalog, registry, seed=0))
    loaded = ranker(artefact)
    found = loaded.predict(events)
    assert found.schema == {"probability": pl.Float32}
    # Rows of train stand in the order of the file, so their probabilities are a subsequence.
    table = rows.catalog.rows
    assert table is not None
    expected = served.logits(rows_of(table, 0, len(table))).sigmoid().numpy()
    assert len(set(expected.tolist())) > 100
    assert is_subsequence(expected, found["probability"].to_numpy())


def is_subsequence(part: np.ndarray, whole: np.ndarray) -> bool:
    rest = iter(whole.tolist())
    return all(any(abs(value - other) < 1e-6 for other in rest) for value in part.tolist())


def test_rows_are_judged_alone_as_in_a_crowd(
    artefact: Path, events: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = ranker(artefact)
    whole = loaded.predict(events)["probability"].to_numpy()
    monkeypatch.setattr(serving, "CHUNK_ROWS", 7)
    np.testing.assert_allclose(loaded.predict(events)["probability"].to_numpy(), whole, rtol=1e-6)
    assert loaded.predict(events[:0]).height == 0


def test_unknown_values_are_judged_alike_and_other_columns_do_not_matter(artefact: Path) -> None:
    unknown = {"item": [3, 3], "tags": ["a", "a"], "price": [0.1, 0.1]}
    found = ranker(artefact).predict(pl.DataFrame({"user": ["new", "newer"], **unknown, "x": 1}))
    first, second = found["probability"]
    assert first == second
    assert 0 < first < 1


def test_columns_that_are_missing_are_named(artefact: Path, events: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="no column 'user' and no 'price'; the columns are item"):
        ranker(artefact).predict(events.drop("user", "price", "label"))


def test_a_changed_encoding_is_refused(artefact: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    copied.mkdir()
    for path in artefact.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    assert ranker(copied).configuration == CONFIGURATION
    (copied / export.ROWS).write_bytes(b"x")
    with pytest.raises(ExportError, match=r"rows\.parquet: this file must be as it was exported"):
        serving.load(copied)


def predict(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["predict", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_file_of_rows_gives_a_csv_of_probabilities(
    artefact: Path,
    events: pl.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    file = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        events.write_parquet(file)
    else:
        events.write_csv(file, separator="\t" if suffix == ".tsv" else ",")
    asked = [str(artefact), "--rows", str(file), "--out", str(tmp_path / "out.csv")]
    assert predict(asked, capsys)[:2] == (0, "")
    written = pl.read_csv(tmp_path / "out.csv")
    assert written["row"].to_list() == list(range(1, 301))
    expected = ranker(artefact).predict(events)["probability"].to_list()
    assert written["probability"].cast(pl.Float32).to_list() == expected


def test_without_a_file_to_write_they_are_printed(
    artefact: Path, events: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events[:2].write_csv(tmp_path / "rows.csv")
    asked = [str(artefact), "--rows", str(tmp_path / "rows.csv")]
    first, second = ranker(artefact).predict(events[:2])["probability"]
    lines = predict(asked, capsys)[1].splitlines()
    assert lines[0] == "row,probability"
    assert [float(line.split(",")[1]) for line in lines[1:]] == pytest.approx([first, second])
    printed = json.loads(predict([*asked, "--json"], capsys)[1])
    assert printed == [
        {"row": 1, "probability": pytest.approx(first)},
        {"row": 2, "probability": pytest.approx(second)},
    ]


def test_what_cannot_be_judged_is_bad_input(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("row,user,item,price\n1,u1,2,0.5\n")
    status, _, err = predict([str(artefact), "--rows", str(tmp_path / "rows.csv")], capsys)
    assert status == 2
    assert "rows.csv: there is no column 'tags'; the columns are row, user, item, price." in err
    (tmp_path / "rows.csv").write_text("user,item,price,tags\nu1,2,cheap,a\n")
    status, _, err = predict([str(artefact), "--rows", str(tmp_path / "rows.csv")], capsys)
    assert (status, "Traceback" in err) == (2, False)
    assert "rows.csv: row 2, column 'price' must be a number or empty, got 'cheap'." in err
    status, _, err = predict([str(artefact), "--rows", str(tmp_path / "absent.csv")], capsys)
    assert (status, "absent.csv" in err) == (2, True)


def test_asking_for_lists_names_the_command_that_judges(
    artefact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", str(artefact), "--users", "u1"]) == 2
    assert f"Use automl-rec predict {artefact} --rows FILE." in capsys.readouterr().err


def test_the_format_and_separator_of_a_file_can_be_told(
    artefact: Path, events: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.data"
    events[:3].write_csv(file, separator=";")
    asked = [str(artefact), "--rows", str(file)]
    status, _, err = predict(asked, capsys)
    assert (status, "Give format: csv, tsv, parquet" in err) == (2, True)
    status, _, err = predict([*asked, "--format", "csv"], capsys)
    assert (status, """It seems to use ';': set separator: ";".""" in err) == (2, True)
    status, _, err = predict([*asked, "--format", "csv", "--separator", "::"], capsys)
    assert (status, "separator must be one ASCII character, got '::'" in err) == (2, True)
    status, out, _ = predict([*asked, "--format", "csv", "--separator", ";"], capsys)
    assert (status, len(out.splitlines())) == (0, 4)


def test_the_command_knows_every_format_that_has_columns() -> None:
    assert {*FORMATS, "lists"} == set(get_args(Format))


def test_numbers_that_train_never_came_near_are_judged(artefact: Path) -> None:
    rows = pl.DataFrame({"user": "u1", "item": 3, "tags": "a", "price": [1e38, -1e38]})
    assert ranker(artefact).predict(rows)["probability"].is_between(0, 1).all()


def test_rows_of_a_single_field_need_a_single_column(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "events.csv").write_text("colour,click\n" + "red,1\nblue,0\n" * 40)
    (tmp_path / "new.csv").write_text("colour\nred\ngreen\n")
    request = DataRequest(
        path=str(tmp_path / "events.csv"), task="ranking", fields={"colour": "categorical"}
    )
    loaded = ranker(shipped_without_training(request, registry, tmp_path))
    assert loaded.predict(loaded.read(tmp_path / "new.csv")).height == 2


def test_rows_without_a_header_are_read_as_those_of_train(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.csv").write_text("red,1\nblue,0\n" * 40)
    (tmp_path / "new.csv").write_text("red,1\ngreen,0\nblue,0\n")
    request = DataRequest(
        path=str(tmp_path / "events.csv"),
        task="ranking",
        header=False,
        columns=ColumnNames(label="c1"),
        fields={"c0": "categorical"},
    )
    shipped = shipped_without_training(request, registry, tmp_path)
    asked = [str(shipped), "--rows", str(tmp_path / "new.csv")]
    status, _, err = predict(asked, capsys)
    assert (status, "there is no column 'c0'; the columns are red, 1." in err) == (2, True)
    status, out, _ = predict([*asked, "--no-header"], capsys)
    assert (status, len(out.splitlines())) == (0, 4)


def shipped_without_training(request: DataRequest, registry: Registry, folder: Path) -> Path:
    data = prepare(request, folder / "cache")
    served = finalize(build(CONFIGURATION, data.catalog, registry, seed=0))
    export.write_model(folder / "trial" / export.MODEL, served, CONFIGURATION)
    content = export.Artefact(folder / "trial" / export.MODEL, {}, data, {}, {})
    return export.write(folder / "artefact", content)
