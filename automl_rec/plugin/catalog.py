"""What a model may know of the data: sizes, counts, histories; all of the train part alone."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from automl_rec.errors import DAMAGE

IntArray = npt.NDArray[np.int64]
ItemArray = npt.NDArray[np.int32]
Arrays: TypeAlias = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Histories:
    """Each user's items, oldest first.

    Attributes:
        indptr: (U + 1,) int64; user u's items are ``items[indptr[u]:indptr[u + 1]]``.
        items: (E,) int32 item numbers, repeated where a user met an item again.
        times: (E,) float64 seconds, or None where the data have no times.
    """

    indptr: IntArray
    items: ItemArray
    times: npt.NDArray[np.float64] | None = None

    @property
    def num_users(self) -> int:
        """Number of users U, those without an event included."""
        return len(self.indptr) - 1

    @property
    def lengths(self) -> IntArray:
        """(U,) number of events of each user."""
        return np.diff(self.indptr)

    def of(self, user: int) -> ItemArray:
        """(L,) items of one user, oldest first."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def users(self) -> IntArray:
        """(E,) the user of every event."""
        return np.repeat(np.arange(self.num_users), self.lengths)

    def select(self, users: npt.NDArray[np.integer]) -> "Histories":
        """The histories of some users, in the order given."""
        lengths = self.lengths[users]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(indptr[-1]) + np.repeat(self.indptr[users] - indptr[:-1], lengths)
        times = None if self.times is None else self.times[positions]
        return Histories(indptr, np.asarray(self.items[positions]), times)

    def matrix(self, num_items: int) -> sp.csr_matrix:
        """(U, I) float32, 1 where the user met the item, columns sorted."""
        shape = (self.num_users, num_items)
        ones = np.ones(len(self.items), np.float32)
        # scipy sorts the columns in place: without the copy, the histories would lose their order.
        matrix = sp.csr_matrix((ones, np.array(self.items), np.array(self.indptr)), shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of all users or items, or one field of all rows.

    Attributes:
        kind: ``"categorical"`` (values (N,) int32, -1 unknown), ``"multi"`` (values (E,) int32 with
            indptr (N + 1,)), ``"numeric"`` (values (N,) float32, NaN unknown) or ``"vector"``
            (values (N, W) float32, zeros unknown).
        values: see ``kind``.
        cardinality: number of different values, 0 for numbers; of a vector its width W.
        indptr: (N + 1,) int64 for multi-valued features, else None.
    """

    kind: str
    values: npt.NDArray[np.generic]
    cardinality: int = 0
    indptr: IntArray | None = None


@dataclass(frozen=True, slots=True)
class RowTable:
    """Labelled events, each described by fields.

    Attributes:
        fields: name -> values of all R rows; categorical, multi or numeric. A categorical or multi
            value 0 stands for every value that is rare or unknown, so none is -1; numeric values
            are standardised on train, 0 where unknown.
        labels: (R,) float32, 1 or 0.
        groups: (R,) int32 the user of each row, -1 unknown, or None where no field names users.
    """

    fields: Mapping[str, Feature]
    labels: npt.NDArray[np.float32]
    groups: npt.NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Catalog:
    """The train part of the interactions, as models and embeddings see it.

    For the task ``ranking`` it holds rows, and no items and no histories.

    Attributes:
        num_items: number of items I, items unseen in train included.
        histories: train histories of all U users.
        user_features: name -> feature.
        item_features: name -> feature.
        rows: the train rows, for the task ``ranking``.
        folder: where `derived` keeps arrays between processes, or None.
    """

    num_items: int
    histories: Histories
    user_features: Mapping[str, Feature] = field(default_factory=dict)
    item_features: Mapping[str, Feature] = field(default_factory=dict)
    rows: RowTable | None = None
    folder: Path | None = None

    @property
    def num_users(self) -> int:
        """Number of users U."""
        return self.histories.num_users

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """(U, I) float32 binary train matrix; computed once, do not change it."""
        return self.histories.matrix(self.num_items)

    @cached_property
    def item_counts(self) -> IntArray:
        """(I,) number of train users of each item."""
        return np.bincount(self.matrix.indices, minlength=self.num_items).astype(np.int64)

    @cached_property
    def user_counts(self) -> IntArray:
        """(U,) number of different train items of each user."""
        return np.diff(self.matrix.indptr).astype(np.int64)

    @cached_property
    def co_occurrence(self) -> npt.NDArray[np.float64]:
        """(I, I) float64 X'X of the binary train matrix X; computed once, do not change it."""
        # A dense product beats scipy's sparse one from about 1 % of density on.
        if self.matrix.nnz > 0.01 * self.num_users * self.num_items:
            dense = self.matrix.toarray()
            return np.asarray(dense.T @ dense, dtype=np.float64)
        return np.asarray((self.matrix.T @ self.matrix).toarray(), dtype=np.float64)

    def counts(self, name: str) -> IntArray:
        """(N,) how often train holds each id of ``name``, whose number of ids is N.

        Args:
            name: ``"user"``; ``"item"``; ``"user.NAME"`` or ``"item.NAME"``, a categorical or
                multi-valued feature, counted once an interaction; with rows, a categorical or
                multi-valued field.

        Returns:
            Computed once, do not change it.
        """
        if name not in self._counts:
            self._counts[name] = self._counted(name)
        return self._counts[name]

    def derived(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Arrays computed from train once: kept in memory, and in `folder` if there is one.

        Args:
            name: says everything they depend on beside the data, the version of the method too.
            make: computes them; the same data and name must give the same arrays.

        Returns:
            What ``make`` returned, now or in another process; do not change it.
        """
        if name not in self._derived:
            self._derived[name] = self._read_or_made(name, make)
        return self._derived[name]

    def _read_or_made(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        if self.folder is None:
            return make()
        path = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npz"
        arrays = _read(path)
        if arrays is None:
            arrays = make()
            _write(path, arrays)
        return arrays

    @cached_property
    def _derived(self) -> dict[str, Arrays]:
        return {}

    @cached_property
    def _counts(self) -> dict[str, IntArray]:
        return {}

    def _counted(self, name: str) -> IntArray:
        if self.rows is not None:
            return self._value_counts(self.rows.fields[name], np.ones(len(self.rows), np.int64))
        role, _, feature = name.partition(".")
        counts = {"user": self.user_counts, "item": self.item_counts}[role]
        if not feature:
            return counts
        features = self.user_features if role == "user" else self.item_features
        return self._value_counts(features[feature], counts)

    @staticmethod
    def _value_counts(values: Feature, weights: IntArray) -> IntArray:
        assert values.kind in {"categorical", "multi"}, f"a {values.kind} feature has no ids"
        codes = np.asarray(values.values, np.int64)
        if values.indptr is not None:
            weights = np.repeat(weights, np.diff(values.indptr))
        known = codes >= 0
        found = np.bincount(codes[known], weights[known], minlength=values.cardinality)
        return found.astype(np.int64)


def _read(path: Path) -> Arrays | None:
    """The arrays of a file; None if there is none that is whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {part: stored[part] for part in stored.files}
    except (*DAMAGE, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    # Of other archives numpy gives the members as bytes.
    return arrays if all(isinstance(part, np.ndarray) for part in arrays.values()) else None


def _write(path: Path, arrays: Arrays) -> None:
    """Replaces a file as a whole; a cache that cannot be written is no cache."""
    # Another process may write the same file: the last one to replace it wins.
    beside = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    try:
        path.parent.mkdir(exist_ok=True)
        np.savez(beside, allow_pickle=False, **arrays)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
