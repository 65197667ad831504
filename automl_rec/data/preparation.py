"""The steps from files to a folder of prepared data."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from automl_rec.data.digest import FORMAT_VERSION
from automl_rec.data.features import NamedFeature, read_features
from automl_rec.data.filters import filtered
from automl_rec.data.interactions import Codes, Interactions, Vocabulary
from automl_rec.data.notes import filter_notes, label_notes, split_notes
from automl_rec.data.reader import read_interactions
from automl_rec.data.request import DataRequest
from automl_rec.data.split import (
    REVEALED,
    TEST,
    TRAIN,
    VALIDATION,
    Parts,
    assign_parts,
    resolve_kind,
)


@dataclass(frozen=True, slots=True)
class Preparation:
    """Everything a folder of prepared data holds, in memory.

    Attributes:
        events: filtered and numbered.
        parts: (E,) the part of each event.
        features: role -> its features.
        description: plain data, see Prepared.
    """

    events: Interactions
    parts: Parts
    features: Mapping[str, list[NamedFeature]]
    description: Mapping[str, object]

    @classmethod
    def of(cls, request: DataRequest, digest: str) -> "Preparation":
        """Read, filter and split what a request names.

        Raises:
            DataError: the files or the request do not do.
        """
        read = read_interactions(request)
        notes = label_notes(read, request.threshold)
        events, steps = filtered(read, request)
        del read
        parts = assign_parts(events, request.split, request.seed)
        features, feature_notes = _features(request, events)
        notes += filter_notes(steps) + split_notes(events, parts) + feature_notes
        description = {
            "digest": digest,
            "format_version": FORMAT_VERSION,
            "task": request.task,
            **_counts(events, parts),
            "split": resolve_kind(events, request.split),
            "seed": request.seed,
            "filters": [asdict(step) for step in steps],
            "features": {role: [_fact(f) for f in named] for role, named in features.items()},
            "notes": notes,
        }
        return cls(events, parts, features, description)

    def write(self, target: Path) -> None:
        """Fill an empty folder."""
        self._write_parts(target)
        _write_vocabulary(self.events.users, target / "users.parquet")
        _write_vocabulary(self.events.items, target / "items.parquet")
        for role, named in self.features.items():
            for position, feature in enumerate(named):
                _write_feature(feature, target, f"{role}-feature-{position}")
        text = json.dumps(self.description, indent=1, ensure_ascii=False)
        (target / "description.json").write_text(text, "utf-8")

    def _write_parts(self, target: Path) -> None:
        parts = self.parts
        chosen = {
            "train": parts == TRAIN,
            "validation": parts == VALIDATION,
            "test": parts == TEST,
            "known-test": parts != TEST,
        }
        if (parts == REVEALED).any():
            chosen["known-validation"] = (parts == TRAIN) | (parts == REVEALED)
        for name, mask in chosen.items():
            self._write_histories(mask, target, name)

    def _write_histories(
        self, mask: np.ndarray[tuple[int], np.dtype[np.bool_]], target: Path, name: str
    ) -> None:
        events = self.events
        lengths = np.bincount(events.user[mask], minlength=len(events.users))
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        np.save(target / f"{name}.indptr.npy", indptr)
        np.save(target / f"{name}.items.npy", events.item[mask])
        if events.time is not None:
            np.save(target / f"{name}.times.npy", events.time[mask])


def _features(
    request: DataRequest, events: Interactions
) -> tuple[dict[str, list[NamedFeature]], list[str]]:
    features: dict[str, list[NamedFeature]] = {"user": [], "item": []}
    notes = []
    files = {
        "user": (request.user_features, events.users),
        "item": (request.item_features, events.items),
    }
    for role, (file, vocabulary) in files.items():
        if file is None:
            continue
        features[role], absent = read_features(file, role, vocabulary)
        if absent:
            notes.append(f"{absent:,} of {len(vocabulary):,} {role}s have no row of features.")
    return features, notes


def _write_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    vocabulary.values.to_frame().write_parquet(path, compression="zstd")


def _write_feature(named: NamedFeature, target: Path, name: str) -> None:
    np.save(target / f"{name}.values.npy", named.feature.values)
    if named.feature.indptr is not None:
        np.save(target / f"{name}.indptr.npy", named.feature.indptr)
    if named.vocabulary is not None:
        _write_vocabulary(named.vocabulary, target / f"{name}.parquet")


def _counts(events: Interactions, parts: Parts) -> dict[str, object]:
    sizes = np.bincount(parts, minlength=4)
    return {
        "users": len(events.users),
        "items": len(events.items),
        "events": len(events),
        "train": int(sizes[TRAIN]),
        "validation": int(sizes[VALIDATION]),
        "test": int(sizes[TEST]),
        "revealed": int(sizes[REVEALED]),
        "density": len(events) / (len(events.users) * len(events.items)),
        "ordered": events.ordered,
        "times": events.time is not None,
        "first_time": float(events.time.min()) if events.time is not None else None,
        "last_time": float(events.time.max()) if events.time is not None else None,
        "domains": _tally(events.domain, events.domains),
        "behaviours": _tally(events.behaviour, events.behaviours),
    }


def _tally(codes: Codes | None, vocabulary: Vocabulary | None) -> dict[str, int]:
    """Events of each value, empty cells left out."""
    if codes is None or vocabulary is None:
        return {}
    counts = np.bincount(codes[codes >= 0], minlength=len(vocabulary))
    return {str(value): int(n) for value, n in zip(vocabulary.values, counts, strict=True)}


def _fact(named: NamedFeature) -> dict[str, object]:
    feature = named.feature
    return {"name": named.name, "kind": feature.kind, "cardinality": feature.cardinality}
