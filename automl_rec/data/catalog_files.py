"""What an artefact keeps of its data: the catalog that its model is built on, in one file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from automl_rec.data.soundness import require_counts, require_feature, require_histories
from automl_rec.errors import DAMAGE, ExportError, reason_of
from automl_rec.plugin.catalog import Catalog, Feature, Histories, IntArray, RowTable

_DESCRIBED = "automl_rec"
_NOBODY = Histories(np.zeros(1, np.int64), np.empty(0, np.int32))


@dataclass(frozen=True)
class CountedCatalog(Catalog):
    """A catalog whose rows are gone; how often train held each value is known.

    Attributes:
        value_counts: name of a categorical or multi-valued field -> (N,) counts.
    """

    value_counts: Mapping[str, IntArray] = field(default_factory=dict)

    def counts(self, name: str) -> IntArray:
        """See `Catalog.counts`."""
        return self.value_counts[name]


def write_catalog(path: Path, catalog: Catalog, known: Histories | None = None) -> None:
    """Writes histories and features, or of rows the fields with the counts of their values.

    Names stand in the file's header alone: they never become keys or paths.

    Args:
        path: of the file.
        catalog: the train part.
        known: every event of each user, beside the train histories; for catalogs without rows.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: dict[str, Any] = {}
    if catalog.rows is None:
        assert known is not None, "lists must leave out what is known"
        described = _described_interactions(catalog, known, arrays)
    else:
        described = {"fields": _described_fields(catalog, catalog.rows, arrays)}
    # One entry: safetensors writes several in no fixed order, and equal data are equal files.
    safetensors.numpy.save_file(arrays, path, {_DESCRIBED: json.dumps(described)})


def read_catalog(path: Path) -> tuple[Catalog, Histories]:
    """What `write_catalog` wrote; of rows the known histories are empty.

    Raises:
        ExportError: the file is missing or damaged.
    """
    try:
        with safetensors.safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            described = json.loads((file.metadata() or {})[_DESCRIBED])
        if "fields" in described:
            return _rows_of(described["fields"], arrays), _NOBODY
        return _interactions_of(described, arrays)
    except (*DAMAGE, OSError, safetensors.SafetensorError) as error:
        raise ExportError(
            f"{path}: this is no complete catalog ({reason_of(error)}). Export the artefact again."
        ) from error


def _described_interactions(
    catalog: Catalog, known: Histories, arrays: dict[str, Any]
) -> dict[str, Any]:
    for name, history in (("train", catalog.histories), ("known", known)):
        arrays[f"{name}.indptr"] = np.ascontiguousarray(history.indptr, np.int64)
        arrays[f"{name}.items"] = np.ascontiguousarray(history.items, np.int32)
    roles = {"user": catalog.user_features, "item": catalog.item_features}
    for role, features in roles.items():
        for number, feature in enumerate(features.values()):
            arrays[f"{role}.{number}.values"] = np.ascontiguousarray(feature.values)
            if feature.indptr is not None:
                arrays[f"{role}.{number}.indptr"] = np.ascontiguousarray(feature.indptr, np.int64)
    facts = {
        role: [_fact(*named) for named in features.items()] for role, features in roles.items()
    }
    return {"num_items": catalog.num_items, "features": facts}


def _interactions_of(
    described: Mapping[str, Any], arrays: Mapping[str, Any]
) -> tuple[Catalog, Histories]:
    train, known = (
        Histories(arrays[f"{name}.indptr"], arrays[f"{name}.items"]) for name in ("train", "known")
    )
    facts, num_items = described["features"], int(described["num_items"])
    for name, history in (("train", train), ("known", known)):
        require_histories(history, num_items, name)
    if known.num_users != train.num_users:
        raise ValueError(f"{train.num_users} users have a history, {known.num_users} are known")
    sizes = {"user": train.num_users, "item": num_items}
    users, items = (_features_of(role, facts[role], arrays) for role in sizes)
    for role, features in (("user", users), ("item", items)):
        for name, feature in features.items():
            require_feature(feature, sizes[role], f"{role}.{name}")
    return Catalog(num_items, train, users, items), known


def _features_of(
    role: str, facts: Sequence[Mapping[str, Any]], arrays: Mapping[str, Any]
) -> dict[str, Feature]:
    return {
        fact["name"]: Feature(
            fact["kind"],
            arrays[f"{role}.{number}.values"],
            fact["cardinality"],
            arrays.get(f"{role}.{number}.indptr"),
        )
        for number, fact in enumerate(facts)
    }


def _described_fields(
    catalog: Catalog, rows: RowTable, arrays: dict[str, Any]
) -> list[dict[str, Any]]:
    for number, (name, feature) in enumerate(rows.fields.items()):
        if feature.kind != "numeric":
            arrays[str(number)] = np.ascontiguousarray(catalog.counts(name), np.int64)
    return [_fact(*named) for named in rows.fields.items()]


def _rows_of(facts: Sequence[Mapping[str, Any]], arrays: Mapping[str, Any]) -> CountedCatalog:
    fields = {fact["name"]: _empty(fact) for fact in facts}
    counts = {
        fact["name"]: arrays[str(number)]
        for number, fact in enumerate(facts)
        if fact["kind"] != "numeric"
    }
    for name, feature in fields.items():
        require_counts(feature, counts.get(name), name)
    rows = RowTable(fields, np.empty(0, np.float32))
    return CountedCatalog(0, _NOBODY, rows=rows, value_counts=counts)


def _empty(fact: Mapping[str, Any]) -> Feature:
    values = np.empty(0, np.float32 if fact["kind"] == "numeric" else np.int32)
    indptr = np.zeros(1, np.int64) if fact["kind"] == "multi" else None
    return Feature(fact["kind"], values, fact["cardinality"], indptr)


def _fact(name: str, feature: Feature) -> dict[str, Any]:
    return {"name": name, "kind": feature.kind, "cardinality": feature.cardinality}
