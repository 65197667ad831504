"""Artefacts that somebody else wrote, with the right hashes: they are refused, not obeyed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from automl_rec import export, serving
from automl_rec.builder import build, finalize
from automl_rec.data import DataRequest, Prepared, prepare
from automl_rec.errors import ExportError
from automl_rec.plugin import ClosedFormModel
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration

SPARSE = Configuration(
    Chosen("ease", {"regularization": 20.0}),
    sparsity=Chosen(
        "magnitude", {"density": 0.02, "mode": "one-shot", "scope": "uniform", "block": 1}
    ),
)
ROWS = Configuration(Chosen("fm", {"width": 4, "regularization": 1e-6}))
HEADER = "automl_rec"


def shipped(folder: Path, of: Configuration, data: Prepared, registry: Registry) -> Path:
    built = build(of, data.catalog, registry, seed=0)
    if isinstance(built.model, ClosedFormModel):
        built.model.fit(data.catalog, torch.Generator().manual_seed(0))
    served = finalize(built)
    export.write_model(folder / export.MODEL, served, of)
    content = export.Artefact(folder / export.MODEL, of.as_dict(), data, {}, {})
    return export.write(folder / "artefact", content)


@pytest.fixture
def artefact(prepared: Prepared, registry: Registry, tmp_path: Path) -> Path:
    return shipped(tmp_path, SPARSE, prepared, registry)


@pytest.fixture
def judging(registry: Registry, tmp_path: Path) -> Path:
    lines = "".join(f"{n % 7},{n % 5},{n % 2},{n / 9}\n" for n in range(90))
    (tmp_path / "rows.csv").write_text(f"user,item,label,price\n{lines}")
    request = DataRequest(
        path=str(tmp_path / "rows.csv"), task="ranking", fields={"price": "numeric"}
    )
    return shipped(tmp_path, ROWS, prepare(request, tmp_path / "cache"), registry)


def put(folder: Path, name: str, content: bytes) -> None:
    """Another file, and the manifest that goes with it."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / export.MANIFEST).read_text())
    manifest["files"][name] = export.sha256(folder / name)
    (folder / export.MANIFEST).write_text(json.dumps(manifest))


def put_model(folder: Path, change: Callable[[Any, dict[str, torch.Tensor]], None]) -> None:
    """Another model file: what it says of itself and its tensors, changed in place."""
    path = folder / export.MODEL
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        described = json.loads(file.metadata()[HEADER])
    change(described, tensors)
    put(folder, export.MODEL, safetensors.torch.save(tensors, {HEADER: json.dumps(described)}))


def put_catalog(folder: Path, change: Callable[[Any, dict[str, Any]], None]) -> None:
    """Another catalog, likewise."""
    path = folder / export.CATALOG
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        described = json.loads(file.metadata()[HEADER])
    change(described, arrays)
    put(folder, export.CATALOG, safetensors.numpy.save(arrays, {HEADER: json.dumps(described)}))


def refused(folder: Path) -> str:
    """What the artefact is refused with, when it is loaded or first asked."""
    with pytest.raises(ExportError) as caught:
        asked(folder)
    return str(caught.value)


def asked(folder: Path) -> pl.DataFrame:
    loaded = serving.load(folder)
    assert isinstance(loaded, serving.Recommender)
    return loaded.recommend(k=3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (export.MEASUREMENTS, b"[" * 10**5, "these are no measurements"),
        (export.MEASUREMENTS, b"\xff", "these are no measurements"),
        (export.USERS, b"PAR1", "these are no ids"),
        (export.MODEL, b"\xff" * 99, "this is no complete model file"),
        (export.CATALOG, b"", "this is no complete catalog"),
    ],
)
def test_a_file_of_something_else_is_refused_by_name(
    artefact: Path, name: str, content: bytes, message: str
) -> None:
    put(artefact, name, content)
    assert f"{name}: {message}" in refused(artefact)


@pytest.mark.parametrize("content", ["[" * 10**5, "[]", "3", '{"files": 3, "format": 3}', "nan"])
def test_a_manifest_of_another_form_is_refused(artefact: Path, content: str) -> None:
    (artefact / export.MANIFEST).write_text(content)
    assert "this is no artefact" in refused(artefact)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("configuration", [], "A configuration must have model"),
        ("configuration", {"model": {"ease": {"regularization": 10**400}}}, "regularization must"),
        ("configuration", {"model": {"ease": {}}}, "regularization must be given"),
        ("configuration", {"model": {"ease": {"regularization": 9, "x": 1}}}, "x must be left out"),
        ("configuration", {"model": {"lightgcn": {"width": 64, "layers": 10**9}}}, "layers must"),
        (
            "configuration",
            {"model": {"fm": {"width": 4, "regularization": 1e-6}}},
            "the model fm is of another",
        ),
        ("structure", [], "do not fit the configuration"),
        ("structure", {"plan": {}}, "do not fit the configuration .* layouts is missing"),
    ],
)
def test_a_model_that_says_something_else_of_itself_is_refused(
    artefact: Path, key: str, value: object, message: str
) -> None:
    put_model(artefact, lambda described, _: described.update({key: value}))
    assert re.search(message, refused(artefact))


def test_places_of_a_sparse_weight_outside_of_it_are_refused(artefact: Path) -> None:
    def change(_: Any, tensors: dict[str, torch.Tensor]) -> None:
        (name,) = (n for n in tensors if n.endswith("indices"))
        tensors[name] = torch.full_like(tensors[name], 255)

    put_model(artefact, change)
    assert "the model cannot answer" in refused(artefact)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("known.items", lambda a: a + 1, "known must lie from 0 to 39, got 1, 40"),
        ("train.items", lambda a: a - 1, "train must lie from 0 to 39, got -1, 38"),
        ("train.indptr", lambda a: a[::-1], "the places of train do not divide its values"),
        ("known.indptr", lambda a: np.append(a, a[-1]), "60 users have a history, 61 are known"),
        ("train.items", lambda a: a.astype(np.float32), "the items of train must be int32"),
    ],
)
def test_histories_that_lead_elsewhere_are_refused(
    artefact: Path, name: str, change: Callable[[Any], Any], message: str
) -> None:
    def put_array(_: Any, arrays: dict[str, Any]) -> None:
        arrays[name] = np.ascontiguousarray(change(arrays[name]))

    put_catalog(artefact, put_array)
    assert f"{export.CATALOG}: this is no complete catalog ({message})" in refused(artefact)


@pytest.mark.parametrize("number", [0, 10**12, 41])
def test_another_number_of_items_than_ids_is_refused_before_anything_is_built(
    artefact: Path, number: int
) -> None:
    put_catalog(artefact, lambda described, _: described.update({"num_items": number}))
    assert "items.parquet: " in refused(artefact) or "no complete catalog" in refused(artefact)


@pytest.mark.parametrize("ids", [["a"] * 60, [None] * 60, [str(n) for n in range(59)], []])
def test_ids_that_are_no_others_or_too_few_are_refused(artefact: Path, ids: list[Any]) -> None:
    pl.DataFrame({"id": pl.Series(ids, dtype=pl.String)}).write_parquet(artefact / "made")
    put(artefact, export.USERS, (artefact / "made").read_bytes())
    assert "users.parquet: catalog.safetensors holds 60, and there must be as many ids" in refused(
        artefact
    )


def tampered(path: Path, **columns: pl.Expr) -> bytes:
    frame = pl.read_parquet(path).with_columns(**columns)
    frame.write_parquet(path.with_name("made"))
    return path.with_name("made").read_bytes()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kind": pl.lit("vector")}, "no whole encodings of rows (vector is missing)"),
        ({"separator": pl.lit(None, pl.String)}, "(a field has no separator)"),
        ({"std": pl.lit(0.0)}, "has no mean and deviation)"),
        ({"kind": pl.lit("numeric")}, "has the vocabulary of another kind)"),
        ({"vocabulary": pl.lit(["a", "a"])}, "lists a value twice, or nothing)"),
        ({"key": pl.lit("user")}, "has other ids than cells)"),
        ({"name": pl.lit("x")}, "these are not the fields that catalog.safetensors holds"),
        ({"vocabulary": pl.col("vocabulary").list.head(2)}, "these are not the fields that"),
    ],
)
def test_encodings_of_other_rows_are_refused(
    judging: Path, columns: dict[str, pl.Expr], message: str
) -> None:
    put(judging, export.ROWS, tampered(judging / export.ROWS, **columns))
    with pytest.raises(ExportError) as caught:
        serving.load(judging)
    assert message in str(caught.value)


def test_counts_of_other_values_than_a_field_has_are_refused(judging: Path) -> None:
    put_catalog(
        judging, lambda described, _: described["fields"][0].update({"cardinality": 10**12})
    )
    with pytest.raises(ExportError, match="has other values than are counted"):
        serving.load(judging)
