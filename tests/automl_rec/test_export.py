"""Artefacts: written whole, read without pickle, equal to the model they came from."""

import json
import subprocess
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from automl_rec import export, serving
from automl_rec.builder import build, finalize
from automl_rec.cli import main
from automl_rec.data import Prepared
from automl_rec.data.catalog_files import read_catalog
from automl_rec.errors import DataError, ExportError
from automl_rec.evaluation import Evaluated, evaluate
from automl_rec.objectives import named
from automl_rec.objectives.ranking import lists
from automl_rec.plugin import Catalog, Feature, Requests
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration

CONFIGURATION = Configuration(
    Chosen("ease", {"regularization": 20.0}),
    rank=Chosen("full"),
    sparsity=Chosen(
        "magnitude", {"density": 0.2, "mode": "one-shot", "scope": "uniform", "block": 1}
    ),
)


@pytest.fixture(scope="module")
def evaluated(prepared: Prepared, registry: Registry) -> Evaluated:
    objective = named("ndcg@10")
    assert objective is not None
    return evaluate(CONFIGURATION, prepared, [objective], registry, seed=0)


@pytest.fixture
def artefact(evaluated: Evaluated, prepared: Prepared, tmp_path: Path) -> Path:
    return write_artefact(evaluated, prepared, tmp_path)


def write_artefact(evaluated: Evaluated, data: Prepared, folder: Path) -> Path:
    assert evaluated.served is not None
    export.write_model(folder / "trial" / export.MODEL, evaluated.served, CONFIGURATION)
    content = export.Artefact(
        folder / "trial" / export.MODEL,
        {"data": {"source": "planted"}, **CONFIGURATION.as_dict()},
        data,
        {"validation": evaluated.outcome.measurements},
        {"automl-rec": "0.1.0"},
        {"seed": 0},
    )
    return export.write(folder / "artefact", content)


def recommender(folder: Path) -> serving.Recommender:
    loaded = serving.load(folder)
    assert isinstance(loaded, serving.Recommender)
    return loaded


def with_catalog(data: Prepared, catalog: Catalog) -> Prepared:
    changed = copy(data)
    changed.__dict__["catalog"] = catalog
    return changed


def test_bytes_are_those_of_the_tensors_in_the_file(
    evaluated: Evaluated, artefact: Path, tmp_path: Path
) -> None:
    assert evaluated.served is not None
    written = export.write_model(tmp_path / "again", evaluated.served, CONFIGURATION)
    stored = export.read_model(artefact / export.MODEL)
    assert written == sum(t.nbytes for t in stored.tensors.values()) == evaluated.served.bytes
    assert stored.configuration == CONFIGURATION


def test_a_model_file_is_the_same_bytes_whenever_it_is_written(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    assert evaluated.served is not None
    for number in range(16):
        export.write_model(tmp_path / str(number), evaluated.served, CONFIGURATION)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_recommendations_equal_those_of_the_trained_model(
    evaluated: Evaluated, artefact: Path, prepared: Prepared
) -> None:
    loaded = recommender(artefact)
    known = export.all_known(prepared)
    requests = Requests.of(known, np.arange(60))
    assert evaluated.served is not None
    assert torch.equal(loaded.served.scores(requests), evaluated.served.scores(requests))
    everybody = lists(evaluated.served, known, known, prepared.catalog.num_items, 5)
    found = loaded.recommend(k=5)
    expected = prepared.item_ids[everybody.items.reshape(-1)]
    assert found["item"].to_list() == expected.to_list()
    assert found["rank"].to_list() == [1, 2, 3, 4, 5] * 60


def test_no_known_item_is_recommended(artefact: Path, prepared: Prepared) -> None:
    found = recommender(artefact).recommend(k=40)
    known = export.all_known(prepared)
    pairs = set(zip(found["user"], found["item"], strict=True))
    met = zip(prepared.user_ids[known.users()], prepared.item_ids[known.items], strict=True)
    assert pairs.isdisjoint(met)
    assert len(pairs) == 60 * 40 - len(known.items)


def test_users_are_named_by_their_own_ids_in_the_order_asked(artefact: Path) -> None:
    found = recommender(artefact).recommend(["7", 3], k=2)
    assert found["user"].to_list() == ["7", "7", "3", "3"]


def test_an_unknown_user_is_an_error_that_names_him(artefact: Path) -> None:
    with pytest.raises(DataError, match=r"users must be among the 60 .* got nobody"):
        recommender(artefact).recommend(["nobody"])


@pytest.mark.parametrize("name", [export.MODEL, export.USERS, export.CONFIGURATION])
def test_a_changed_file_is_refused(artefact: Path, name: str) -> None:
    content = bytearray((artefact / name).read_bytes())
    content[-1] ^= 1
    (artefact / name).write_bytes(content)
    with pytest.raises(ExportError, match=f"{name}: this file must be as it was exported"):
        serving.load(artefact)


def test_a_manifest_cannot_lead_out_of_the_folder(artefact: Path) -> None:
    manifest = json.loads((artefact / export.MANIFEST).read_text())
    manifest["files"] = {"../../secret": "0" * 64}
    (artefact / export.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="missing or changed"):
        serving.load(artefact)


def test_a_folder_of_something_else_is_left_alone(
    evaluated: Evaluated, artefact: Path, prepared: Prepared, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    content = export.Artefact(artefact / export.MODEL, {}, prepared, {}, {})
    with pytest.raises(ExportError, match="new or empty folder or an earlier artefact"):
        export.write(tmp_path / "mine", content)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("name", [".", "..", "a/..", "n" * 300, "a\0b", "CON", ""])
def test_a_folder_without_a_name_of_its_own_is_refused_and_kept(
    name: str, artefact: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(artefact)
    before = sorted(path.relative_to(artefact) for path in artefact.rglob("*"))
    content = export.Artefact(artefact / export.MODEL, {}, prepared, {}, {})
    with pytest.raises(ExportError, match=r"needs a folder with a name of its own.*--out"):
        export.write(Path(name), content)
    assert sorted(path.relative_to(artefact) for path in artefact.rglob("*")) == before


def test_a_failed_export_leaves_nothing_behind(
    artefact: Path, prepared: Prepared, tmp_path: Path
) -> None:
    missing = export.Artefact(tmp_path / "absent", {}, prepared, {}, {})
    with pytest.raises(ExportError, match="could not be written"):
        export.write(tmp_path / "target", missing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artefact", "trial"]


def test_known_items_are_train_validation_and_test_together(prepared: Prepared) -> None:
    known = export.all_known(prepared)
    parts = (prepared.catalog.histories, prepared.validation, prepared.test)
    for user in range(60):
        together = sorted(item for part in parts for item in part.of(user).tolist())
        assert sorted(known.of(user).tolist()) == together


@pytest.mark.slow
def test_loading_imports_no_search_engine_and_no_pickle(artefact: Path) -> None:
    code = (
        "import sys; from automl_rec import serving;"
        f"print(len(serving.load({str(artefact)!r}).recommend(k=3)));"
        "print([n for n in ('optuna', 'ray', 'sqlalchemy', 'automl_rec.search.study')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["180", "[]"]


def test_ids_survive_as_text(artefact: Path, prepared: Prepared) -> None:
    ids = pl.read_parquet(artefact / export.ITEMS)["id"]
    assert ids.to_list() == prepared.item_ids.to_list()


def test_features_of_users_and_items_come_back_with_an_artefact(
    evaluated: Evaluated, prepared: Prepared, tmp_path: Path
) -> None:
    users, items = prepared.catalog.num_users, prepared.catalog.num_items
    features = {
        "../price": Feature("numeric", np.linspace(0, 1, items).astype(np.float32)),
        "a.b": Feature("categorical", (np.arange(items) % 3 - 1).astype(np.int32), 2),
        "text": Feature("vector", np.eye(items, 4, dtype=np.float32), 4),
    }
    several = Feature(
        "multi", np.arange(users, dtype=np.int32), users, np.arange(users + 1, dtype=np.int64)
    )
    catalog = replace(prepared.catalog, user_features={"tags": several}, item_features=features)
    path = write_artefact(evaluated, with_catalog(prepared, catalog), tmp_path)
    found, known = read_catalog(path / export.CATALOG)
    assert found.num_items == items
    assert known.items.tolist() == export.all_known(prepared).items.tolist()
    assert list(found.item_features) == list(features)
    for name, feature in {**features, "tags": several}.items():
        read = {**found.item_features, **found.user_features}[name]
        assert (read.kind, read.cardinality) == (feature.kind, feature.cardinality)
        assert read.values.dtype == feature.values.dtype
        assert np.array_equal(read.values, feature.values)
    indptr = found.user_features["tags"].indptr
    assert indptr is not None
    assert indptr.tolist() == list(range(users + 1))
    assert np.array_equal(found.counts("user.tags"), catalog.counts("user.tags"))


def test_asking_for_judgements_names_the_command_that_makes_lists(
    artefact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(artefact), "--rows", "rows.csv"]) == 2
    assert f"Use automl-rec recommend {artefact} --users USER." in capsys.readouterr().err


def test_a_model_of_features_scores_as_before_when_it_is_loaded(
    prepared: Prepared, registry: Registry, tmp_path: Path
) -> None:
    items = prepared.catalog.num_items
    shelf = Feature("categorical", (np.arange(items) % 4).astype(np.int32), 4)
    catalog = replace(prepared.catalog, item_features={"shelf": shelf})
    values = {"width": 8, "layers": 0, "user_ids": True, "item_ids": False, "temperature": 0.1}
    configuration = Configuration(Chosen("two-tower", {**values, "masking": "none"}))
    served = finalize(build(configuration, catalog, registry, seed=0))
    export.write_model(tmp_path / "trial", served, configuration)
    content = export.Artefact(tmp_path / "trial", {}, with_catalog(prepared, catalog), {}, {})
    loaded = recommender(export.write(tmp_path / "artefact", content))
    requests = Requests.of(loaded.known, np.arange(60))
    scores = loaded.served.scores(requests)
    assert torch.equal(scores, served.scores(requests))
    assert len(scores[0].unique()) == 4
