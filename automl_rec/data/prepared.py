"""Interactions or rows made ready: numbered, split, on disk, memory-mapped by every process."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from automl_rec.data.builtin import resolve
from automl_rec.data.cache import cache_folder, write_whole
from automl_rec.data.digest import FORMAT_VERSION, digest_of
from automl_rec.data.parquet import read_parquet
from automl_rec.data.preparation import Preparation
from automl_rec.data.request import DataRequest, Task
from automl_rec.data.row_encoding import RowEncoding
from automl_rec.data.row_preparation import ENCODING, RowPreparation
from automl_rec.errors import DAMAGE, DataError, reason_of
from automl_rec.plugin.catalog import Catalog, Feature, Histories, RowTable

HeldOut = Literal["validation", "test"]
DERIVED = "derived"
"""Folder beside the data for what components compute from the train part."""
NOBODY = Histories(np.zeros(1, np.int64), np.empty(0, np.int32))
"""The histories of data that hold rows."""


@dataclass(frozen=True)
class Prepared:
    """Interactions on disk, opened memory-mapped; cheap to open in every process.

    Attributes:
        folder: where they are.
        description: counts, split, filters, features, notes: plain data for people and machines.
    """

    folder: Path
    description: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path | str) -> "Prepared":
        """What ``prepare`` wrote.

        Raises:
            DataError: the folder is not prepared data of this version.
        """
        folder = Path(folder)
        with whole(folder):
            description = json.loads((folder / "description.json").read_text("utf-8"))
            version = description["format_version"]
        if version != FORMAT_VERSION:
            raise DataError(_damage(folder, "another format version"))
        return cls(folder, description)

    @property
    def digest(self) -> str:
        """Identity of the data: equal digests mean equal files, filters, split and seed."""
        return str(self.description["digest"])

    @property
    def task(self) -> Task:
        """Whether there are interactions to recommend from, or rows to judge."""
        task: Task = self.description["task"]
        return task

    @property
    def notes(self) -> list[str]:
        """What the user should know: rows dropped, cold items, users with one event."""
        return list(self.description["notes"])

    @cached_property
    def catalog(self) -> Catalog:
        """What models may know: the train part."""
        if self.task == "ranking":
            return Catalog(0, NOBODY, rows=self._rows("train"), folder=self.folder / DERIVED)
        with whole(self.folder):
            return Catalog(
                num_items=self.description["items"],
                histories=self._histories("train"),
                user_features=self._features("user"),
                item_features=self._features("item"),
                folder=self.folder / DERIVED,
            )

    @cached_property
    def validation(self) -> Histories:
        """Of each user, the items to be predicted in validation."""
        return self._histories("validation")

    @cached_property
    def test(self) -> Histories:
        """Of each user, the items to be predicted in test. Touched by export only."""
        return self._histories("test")

    def known(self, part: HeldOut) -> Histories:
        """What is known of each user when ``part`` is predicted, oldest first.

        For validation: train and what held-out users reveal. For test: validation as well.
        """
        name = f"known-{part}"
        return self._histories(name) if self._has(name) else self.catalog.histories

    def rows(self, part: HeldOut) -> RowTable:
        """The rows to be judged in ``part``, of the task ranking. Those of test: by export only."""
        return self._rows(part)

    @cached_property
    def encoding(self) -> RowEncoding:
        """How cells become the fields of rows, of the task ranking."""
        return RowEncoding.read(self.folder / ENCODING)

    @cached_property
    def user_ids(self) -> pl.Series:
        """(U,) original ids, as text, by user number."""
        return self._vocabulary("users")

    @cached_property
    def item_ids(self) -> pl.Series:
        """(I,) original ids, as text, by item number."""
        return self._vocabulary("items")

    def feature_values(self, role: Literal["user", "item"], name: str) -> pl.Series:
        """Names of a categorical or multi-valued feature's values, by their number."""
        position = [f["name"] for f in self.description["features"][role]].index(name)
        return self._vocabulary(f"{role}-feature-{position}")

    def _has(self, name: str) -> bool:
        return (self.folder / f"{name}.items.npy").is_file()

    def _histories(self, name: str) -> Histories:
        with whole(self.folder):
            times = self._array(f"{name}.times") if self.description["times"] else None
            return Histories(self._array(f"{name}.indptr"), self._array(f"{name}.items"), times)

    def _rows(self, part: str) -> RowTable:
        with whole(self.folder):
            fields = {}
            for position, fact in enumerate(self.description["fields"]):
                kind = "categorical" if fact["kind"] == "binned" else fact["kind"]
                name = f"{part}.{position}"
                indptr = self._array(f"{name}.indptr") if kind == "multi" else None
                fields[fact["name"]] = Feature(
                    kind, self._array(f"{name}.values"), fact["cardinality"], indptr
                )
            groups = None if self.description["users"] is None else self._array(f"{part}.groups")
            return RowTable(fields, self._array(f"{part}.labels"), groups)

    def _features(self, role: str) -> dict[str, Feature]:
        features = {}
        for position, fact in enumerate(self.description["features"][role]):
            name = f"{role}-feature-{position}"
            indptr = self._array(f"{name}.indptr") if fact["kind"] == "multi" else None
            features[fact["name"]] = Feature(
                fact["kind"], self._array(f"{name}.values"), fact["cardinality"], indptr
            )
        return features

    def _array(self, name: str) -> np.ndarray[Any, Any]:
        # np.load would take archives and, if it were let, pickles for arrays; this takes neither.
        with whole(self.folder):
            return np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="r")

    def _vocabulary(self, name: str) -> pl.Series:
        with whole(self.folder):
            return read_parquet(self.folder / f"{name}.parquet").to_series()


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Turns what damage raises where it is read into an error that names the folder.

    Raises:
        DataError: something is missing or damaged.
    """
    try:
        yield
    except (*DAMAGE, OSError) as error:
        raise DataError(_damage(folder, reason_of(error))) from error


def prepare(request: DataRequest, cache: Path | str | None = None) -> Prepared:
    """The interactions or rows a request asks for, prepared once and opened afterwards.

    Args:
        request: what to read and how.
        cache: folder of prepared data; ``AUTOML_REC_CACHE`` or the user's cache folder if None.

    Raises:
        DataError: the files or the request do not do, or the cache cannot be written.
    """
    request = resolve(request)
    digest = digest_of(request)
    folder = (cache_folder() if cache is None else Path(cache)) / digest
    if not folder.is_dir():
        preparation = RowPreparation if request.task == "ranking" else Preparation
        write_whole(folder, preparation.of(request, digest).write)
    return Prepared.open(folder)


def describe(request: DataRequest, cache: Path | str | None = None) -> Mapping[str, Any]:
    """What ``automl-rec data describe`` shows of the data.

    Raises:
        DataError: as ``prepare``.
    """
    return prepare(request, cache).description


def _damage(folder: Path, reason: object) -> str:
    return (
        f"{folder}: these are not complete prepared data ({reason}). "
        "Delete the folder and prepare them again."
    )
