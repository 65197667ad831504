"""The steps from files of labelled rows to a folder of prepared data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from automl_rec.data.digest import FORMAT_VERSION
from automl_rec.data.interactions import encode
from automl_rec.data.request import DataRequest
from automl_rec.data.row_encoding import FieldEncoding, RowEncoding, flatten
from automl_rec.data.row_reader import RawRows, read_rows
from automl_rec.data.row_split import NAMES, assign_rows, row_kind
from automl_rec.data.split import TRAIN, VALIDATION, Parts
from automl_rec.errors import DataError
from automl_rec.plugin.catalog import Feature, RowTable

ENCODING = "encoding.parquet"


@dataclass(frozen=True, slots=True)
class RowPreparation:
    """Everything a folder of prepared rows holds, in memory.

    Attributes:
        tables: train, validation and test.
        encoding: learned on train.
        description: plain data, see Prepared.
    """

    tables: Mapping[str, RowTable]
    encoding: RowEncoding
    description: Mapping[str, object]

    @classmethod
    def of(cls, request: DataRequest, digest: str) -> "RowPreparation":
        """Read, split and encode what a request names.

        Raises:
            DataError: the files or the request do not do.
        """
        raw = read_rows(request)
        times = raw.frame["time"].to_numpy() if "time" in raw.frame.columns else None
        parts = assign_rows(len(raw), request.split, request.seed, times, raw.part)
        encoding = _learned(raw, parts, request.min_count)
        groups = encode(raw.frame["user"])[0] if "user" in raw.frame.columns else None
        tables = {}
        for number, name in enumerate(NAMES):
            of_part = parts == number
            tables[name] = RowTable(
                _encoded(raw, encoding, of_part),
                raw.frame["label"].to_numpy()[of_part],
                None if groups is None else groups[of_part],
            )
        _check_labels(tables, request)
        description = {
            "digest": digest,
            "format_version": FORMAT_VERSION,
            "task": request.task,
            "rows": len(raw),
            **{name: len(table) for name, table in tables.items()},
            "positives": {name: round(float(t.labels.mean()), 4) for name, t in tables.items()},
            "users": None if groups is None else int(groups.max(initial=-1)) + 1,
            "split": row_kind(request.split, raw.part),
            "seed": request.seed,
            "min_count": request.min_count,
            "fields": [_fact(known, tables["train"]) for known in encoding.fields],
            "notes": _notes(raw, parts, encoding, tables),
        }
        return cls(tables, encoding, description)

    def write(self, target: Path) -> None:
        """Fill an empty folder."""
        for name, table in self.tables.items():
            np.save(target / f"{name}.labels.npy", table.labels)
            if table.groups is not None:
                np.save(target / f"{name}.groups.npy", table.groups)
            for position, feature in enumerate(table.fields.values()):
                np.save(target / f"{name}.{position}.values.npy", feature.values)
                if feature.indptr is not None:
                    np.save(target / f"{name}.{position}.indptr.npy", feature.indptr)
        self.encoding.write(target / ENCODING)
        text = json.dumps(self.description, indent=1, ensure_ascii=False)
        (target / "description.json").write_text(text, "utf-8")


def _learned(raw: RawRows, parts: Parts, min_count: int) -> RowEncoding:
    train = pl.Series(parts == TRAIN)
    return RowEncoding(
        tuple(
            FieldEncoding.learn(
                source, raw.cells(source).filter(train), min_count, raw.lookups.get(source.name)
            )
            for source in raw.sources
        )
    )


def _encoded(
    raw: RawRows, encoding: RowEncoding, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> dict[str, Feature]:
    chosen = pl.Series(mask)
    return {
        known.source.name: known.encode(raw.cells(known.source).filter(chosen))
        for known in encoding.fields
    }


def _check_labels(tables: Mapping[str, RowTable], request: DataRequest) -> None:
    for name, table in tables.items():
        if len(np.unique(table.labels)) == 2:
            continue
        remedy = "Choose another split, or give more rows."
        if request.threshold is not None:
            remedy = "Change data.threshold, or choose another split."
        raise DataError(
            f"All {len(table):,} {name} rows have the label {table.labels[0]:g}, and telling "
            f"labels apart needs both 0 and 1. {remedy}"
        )


def _fact(known: FieldEncoding, train: RowTable) -> dict[str, object]:
    feature = train.fields[known.source.name]
    return {
        "name": known.source.name,
        "kind": known.source.kind,
        "column": known.source.column,
        "cardinality": feature.cardinality,
    }


def _notes(
    raw: RawRows, parts: Parts, encoding: RowEncoding, tables: Mapping[str, RowTable]
) -> list[str]:
    notes = []
    if raw.part is not None and not (raw.part == VALIDATION).any():
        taken = len(tables["validation"])
        notes.append(f"No validation file is given: {taken:,} rows of train serve as it.")
    notes += _lookup_notes(raw)
    for known in encoding.fields:
        notes += _rarity_notes(raw, parts, known)
    for number, name in enumerate(NAMES[1:], 1):
        notes += _unknown_notes(raw, parts == number, encoding, tables[name], name)
    return notes


def _lookup_notes(raw: RawRows) -> list[str]:
    """Users and items without a row of features."""
    notes = []
    for key, name in {lookup.key: name for name, lookup in raw.lookups.items()}.items():
        role = next(s.name for s in raw.sources if s.column == key)
        absent = (~raw.frame[role].is_in(raw.lookups[name].ids.implode())).sum()
        if absent:
            notes.append(f"{absent:,} of {len(raw):,} rows name no {role} with a row of features.")
    return notes


def _rarity_notes(raw: RawRows, parts: Parts, known: FieldEncoding) -> list[str]:
    """Fields of which train knows nothing, or not all it met."""
    if known.vocabulary is None:
        return []
    name = known.source.name
    train = raw.cells(known.source).filter(pl.Series(parts == TRAIN))
    met = flatten(train)[1] if known.source.kind == "multi" else train.drop_nulls()
    distinct, kept = met.n_unique(), len(known.vocabulary)
    if not distinct:
        return [f"Field {name} is empty in train: it tells nothing."]
    if kept == distinct:
        return []
    rare = f"Field {name}: {distinct - kept:,} of {distinct:,} values are met in fewer train rows"
    return [f"{rare} than data.min_count and count as unknown."]


def _unknown_notes(
    raw: RawRows,
    mask: np.ndarray[tuple[int], np.dtype[np.bool_]],
    encoding: RowEncoding,
    table: RowTable,
    part: str,
) -> list[str]:
    """Held-out rows with a value that has no number of its own."""
    counts = {}
    for known in encoding.fields:
        feature = table.fields[known.source.name]
        if feature.kind == "categorical":
            filled = raw.cells(known.source).filter(pl.Series(mask)).is_not_null().to_numpy()
            counts[known.source.name] = int(np.count_nonzero(filled & (feature.values == 0)))
    found = ", ".join(f"{name} {number:,}" for name, number in counts.items() if number)
    return [f"Of {len(table):,} {part} rows a value is unknown to train: {found}."] if found else []
