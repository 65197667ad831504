"""One configuration, trained and exported, without a study."""

import hashlib
from pathlib import Path

import pytest

from automl_rec import export
from automl_rec.data import Prepared
from automl_rec.errors import ExportError
from automl_rec.registry import Registry
from automl_rec.search.shipping import train

MODELS = {
    "closed form": "model: {ease: {regularization: 20}}\n"
    "sparsity: {magnitude: {density: 0.2, mode: one-shot, scope: uniform}}\n",
    "gradient": "model: {bpr-mf: {width: 8, epochs: 3, learning_rate: 0.01, regularization: 1e-4, "
    "negatives: 1, sampler: popularity, exponent: 0.75, draw: edge, batch_size: 256}}\n"
    "embedding: {full: {precision: int8}}\n",
    "buffer": "model: popularity\n",
}


def write_space(folder: Path, prepared: Prepared, model: str) -> Path:
    known, ids = prepared.known("test"), prepared.item_ids
    rows = zip(prepared.user_ids[known.users()], ids[known.items], strict=True)
    (folder / "events.csv").write_text("user,item\n" + "".join(f"{u},{i}\n" for u, i in rows))
    path = folder / "space.yaml"
    path.write_text(f"data: {{path: events.csv}}\nobjectives: [ndcg@5, bytes]\n{MODELS[model]}")
    return path


def digest(folder: Path, name: str) -> str:
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("model", ["closed form", "gradient", "buffer"])
def test_the_exported_configuration_trains_to_the_same_bytes(
    tmp_path: Path, prepared: Prepared, registry: Registry, model: str
) -> None:
    space = write_space(tmp_path, prepared, model)
    first = train(space, tmp_path / "first", registry=registry)
    again = train(first.folder / export.CONFIGURATION, tmp_path / "again", registry=registry)
    for name in (export.MODEL, export.CONFIGURATION, export.CATALOG):
        assert digest(first.folder, name) == digest(again.folder, name)
    assert first.measurements["test"] == again.measurements["test"]


def test_hyperparameters_keep_the_order_that_their_component_declares(
    tmp_path: Path, prepared: Prepared, registry: Registry
) -> None:
    shipped = train(write_space(tmp_path, prepared, "gradient"), tmp_path / "a", registry=registry)
    declared = registry.component("model", "bpr-mf").domains
    assert list(shipped.configuration.model.hyperparameters) == list(declared)


def test_a_negative_number_of_confirmations_is_refused_before_anything_is_trained(
    tmp_path: Path, prepared: Prepared, registry: Registry
) -> None:
    space = write_space(tmp_path, prepared, "buffer")
    with pytest.raises(ExportError, match="confirm must be 0 or more trainings, got -1"):
        train(space, tmp_path / "artefact", registry=registry, confirm=-1)
    assert not (tmp_path / "artefact").exists()
