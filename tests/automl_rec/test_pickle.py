"""No file that the program reads is unpickled: a pickle in its place is refused and stays quiet."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl_rec import export, serving
from automl_rec.builder import build, finalize
from automl_rec.data import ColumnNames, DataRequest, FeatureFile, Prepared, SplitRequest, prepare
from automl_rec.errors import AutomlRecError, DataError, ExportError, StorageError
from automl_rec.plugin import Catalog
from automl_rec.registry import Registry
from automl_rec.space.checker import read_space
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.training.resumption import TrainingFile


class Payload:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def plain(payload: Payload) -> bytes:
    return pickle.dumps(payload)


def in_numpy(payload: Payload) -> bytes:
    target = io.BytesIO()
    np.save(target, np.array([payload], object), allow_pickle=True)
    return target.getvalue()


def in_archive(payload: Payload) -> bytes:
    target = io.BytesIO()
    np.savez(target, a=np.array([payload], object))
    return target.getvalue()


def in_torch(payload: Payload) -> bytes:
    target = io.BytesIO()
    torch.save({"a": payload}, target)
    return target.getvalue()


@pytest.fixture(params=[plain, in_numpy, in_archive, in_torch])
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    wrapped: bytes = request.param(Payload(tmp_path / "mark"))
    return wrapped


def test_the_payloads_are_live(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = [make(Payload(mark)) for make in (plain, in_numpy, in_archive, in_torch)]
    openers: list[Any] = [
        pickle.loads,  # noqa: S301 - our own
        lambda c: np.load(io.BytesIO(c), allow_pickle=True),
        lambda c: np.load(io.BytesIO(c), allow_pickle=True)["a"],
        lambda c: torch.load(io.BytesIO(c), weights_only=False),
    ]
    for open_, wrapped in zip(openers, content, strict=True):
        open_(wrapped)
        assert mark.exists()
        mark.unlink()


def put(folder: Path, name: str, content: bytes) -> None:
    manifest = json.loads((folder / export.MANIFEST).read_text())
    (folder / name).write_bytes(content)
    if name != export.MANIFEST:
        manifest["files"][name] = export.sha256(folder / name)
        (folder / export.MANIFEST).write_text(json.dumps(manifest))


def shipped(folder: Path, of: Configuration, data: Prepared, registry: Registry) -> Path:
    served = finalize(build(of, data.catalog, registry, seed=0))
    export.write_model(folder / export.MODEL, served, of)
    return export.write(
        folder / "artefact", export.Artefact(folder / export.MODEL, {}, data, {}, {})
    )


# The configuration is for the next training and not read when an artefact is loaded.
LISTED = [name for name in export.FILES["retrieval"] if name != export.CONFIGURATION]


@pytest.mark.parametrize("name", [*LISTED, export.MANIFEST])
def test_an_artefact_that_makes_lists_holds_no_pickle(
    name: str, planted: bytes, prepared: Prepared, registry: Registry, tmp_path: Path
) -> None:
    configuration = Configuration(Chosen("popularity"))
    folder = shipped(tmp_path, configuration, prepared, registry)
    put(folder, name, planted)
    with pytest.raises(ExportError):
        serving.load(folder)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", [export.CATALOG, export.ROWS])
def test_an_artefact_that_judges_holds_no_pickle(
    name: str, planted: bytes, prepared_rows: Prepared, registry: Registry, tmp_path: Path
) -> None:
    configuration = Configuration(Chosen("lr", {"regularization": 0.1}))
    folder = shipped(tmp_path, configuration, prepared_rows, registry)
    put(folder, name, planted)
    with pytest.raises(ExportError):
        serving.load(folder)
    assert not (tmp_path / "mark").exists()


def test_a_training_holds_no_pickle(planted: bytes, tmp_path: Path) -> None:
    (tmp_path / "training").write_bytes(planted)
    with pytest.raises(StorageError, match="no complete training"):
        TrainingFile(tmp_path / "training", "one").read()
    assert not (tmp_path / "mark").exists()


def read_all(folder: Path) -> list[object]:
    """Everything that a folder of prepared data holds."""
    data = Prepared.open(folder)
    if data.task == "ranking":
        return [data.catalog, data.rows("validation"), data.rows("test"), data.encoding]
    found = [data.catalog, data.known("test"), data.known("validation"), data.validation, data.test]
    values = (data.feature_values("item", name) for name in ("shelf", "tags"))
    return [*found, data.user_ids, data.item_ids, *values]


def prepared_folder(folder: Path, task: str) -> Path:
    lines = "".join(f"{n % 7},{n % 5},{n},{n % 2},a|b\n" for n in range(60))
    (folder / "events.csv").write_text(f"user,item,time,label,tags\n{lines}")
    (folder / "items.csv").write_text(
        "item,shelf,tags,size\n" + "".join(f"{n},s{n},a|b,1\n" for n in range(5))
    )
    path, split = str(folder / "events.csv"), SplitRequest("random")
    if task == "ranking":
        asked = DataRequest(path=path, task="ranking", fields={"tags": "multi"}, split=split)
    else:
        columns: Any = {"shelf": "categorical", "tags": "multi", "size": "numeric"}
        features = FeatureFile(str(folder / "items.csv"), columns)
        named = ColumnNames(user="user", item="item", time="time")
        asked = DataRequest(path=path, columns=named, item_features=features, split=split)
    return prepare(asked, folder / "cache").folder


@pytest.mark.parametrize("task", ["retrieval", "ranking"])
def test_no_file_of_prepared_data_is_unpickled(task: str, planted: bytes, tmp_path: Path) -> None:
    folder = prepared_folder(tmp_path, task)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    assert len(files) >= 10
    for path in files:
        sound = path.read_bytes()
        path.write_bytes(planted)
        with pytest.raises(DataError, match=r"these are (not complete prepared data|no whole enc)"):
            read_all(folder)
        path.write_bytes(sound)
    read_all(folder)
    assert not (tmp_path / "mark").exists()


def test_what_was_derived_from_data_is_made_again_in_place_of_a_pickle(
    planted: bytes, prepared: Prepared, tmp_path: Path
) -> None:
    def derived() -> object:
        catalog = Catalog(3, prepared.catalog.histories, folder=tmp_path / "derived")
        return catalog.derived("ones", lambda: {"a": np.ones(3)})["a"].tolist()

    assert derived() == [1, 1, 1]
    (file,) = (tmp_path / "derived").iterdir()
    file.write_bytes(planted)
    assert derived() == [1, 1, 1]
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".inter", ".parquet", ".csv.gz"])
def test_a_file_of_interactions_or_a_space_is_not_unpickled(
    suffix: str, planted: bytes, registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / f"events{suffix}"
    path.write_bytes(planted)
    with pytest.raises(AutomlRecError):
        prepare(DataRequest(path=str(path)), tmp_path / "cache")
    with pytest.raises(AutomlRecError):
        read_space(path, registry)
    assert not (tmp_path / "mark").exists()
