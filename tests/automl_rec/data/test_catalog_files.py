"""The catalog of an artefact: what an embedding or a model asks of it survives the file."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from automl_rec.data.catalog_files import read_catalog, write_catalog
from automl_rec.errors import ExportError
from automl_rec.plugin import Catalog
from automl_rec.testing.planted import planted_interactions, planted_rows


def test_fields_come_back_with_their_counts_and_without_their_rows(tmp_path: Path) -> None:
    catalog, _ = planted_rows(0, rows=500)
    assert catalog.rows is not None
    write_catalog(tmp_path / "catalog", catalog)
    found, known = read_catalog(tmp_path / "catalog")
    assert found.rows is not None
    assert (found.num_items, found.num_users, len(found.rows), known.num_users) == (0, 0, 0, 0)
    assert list(found.rows.fields) == list(catalog.rows.fields)
    for name, field in catalog.rows.fields.items():
        read = found.rows.fields[name]
        assert (read.kind, read.cardinality) == (field.kind, field.cardinality)
        assert (read.indptr is None) == (field.indptr is None)
        if field.kind != "numeric":
            assert found.counts(name).tolist() == catalog.counts(name).tolist()
    assert (tmp_path / "catalog").stat().st_size < 3000


def test_equal_catalogs_are_equal_files(tmp_path: Path) -> None:
    for number in range(8):
        write_catalog(tmp_path / str(number), planted_rows(0, rows=50)[0])
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def damaged(path: Path, kind: str) -> None:
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif kind == "another file":
        safetensors.numpy.save_file({"train.indptr": np.zeros(1, np.int64)}, path)
    elif kind == "without histories":
        header = {"automl_rec": '{"num_items": 3, "features": {"user": [], "item": []}}'}
        safetensors.numpy.save_file({"known.items": np.zeros(1, np.int32)}, path, header)
    else:
        path.unlink()


@pytest.mark.parametrize("kind", ["cut", "another file", "without histories", "missing"])
def test_a_damaged_catalog_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    planted = planted_interactions(0, users=20, items=30, events=9, heldout=2)
    path = tmp_path / "catalog.safetensors"
    write_catalog(path, planted.catalog, planted.heldout)
    assert read_catalog(path)[0].num_items == 30
    damaged(path, kind)
    with pytest.raises(ExportError, match=r"catalog\.safetensors: this is no complete catalog"):
        read_catalog(path)


def test_histories_survive_without_features(tmp_path: Path) -> None:
    planted = planted_interactions(0, users=20, items=30, events=9, heldout=2)
    catalog = Catalog(30, planted.catalog.histories)
    write_catalog(tmp_path / "catalog", catalog, planted.heldout)
    found, known = read_catalog(tmp_path / "catalog")
    assert found.histories.items.tolist() == catalog.histories.items.tolist()
    assert known.indptr.tolist() == planted.heldout.indptr.tolist()
