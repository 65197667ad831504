"""Artefacts, loaded and asked for lists or judgements; no search engine is needed for it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from automl_rec import export
from automl_rec.builder import restore
from automl_rec.data.catalog_files import read_catalog
from automl_rec.data.parquet import read_parquet
from automl_rec.data.request import Format, Task, check_separator
from automl_rec.data.row_batches import unlabelled
from automl_rec.data.row_encoding import RowEncoding
from automl_rec.data.table import open_table
from automl_rec.errors import DAMAGE, DataError, ExportError, SpaceError, reason_of
from automl_rec.objectives.ranking import CHUNK_SCORES, NO_ITEM, shown
from automl_rec.plugin import (
    Catalog,
    Histories,
    Requests,
    RowTable,
)
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Configuration, require_allowed
from automl_rec.space.tasks import solves

CHUNK_ROWS = 8192
"""Rows judged at once: memory does not grow with the rows asked about."""


@dataclass(frozen=True)
class Recommender:
    """A loaded artefact that makes lists.

    Attributes:
        folder: where it was read.
        configuration: what it was made from.
        served: the model.
        known: every event of each user.
        user_ids: (U,) original ids by number.
        item_ids: (I,) original ids by number.
        manifest: versions and digests.
        measurements: part -> objective -> value and standard error.
    """

    folder: Path
    configuration: Configuration
    served: Served
    known: Histories
    user_ids: pl.Series
    item_ids: pl.Series
    manifest: dict[str, Any]
    measurements: dict[str, dict[str, dict[str, float | None]]]

    def recommend(self, users: Sequence[str | int] | None = None, k: int = 10) -> pl.DataFrame:
        """The k best items each user does not know, best first.

        Args:
            users: original user ids; all users if None.
            k: list length.

        Returns:
            Rows user (text), rank (from 1), item (text), score (float32); fewer than k rows for a
            user who knows nearly everything.

        Raises:
            DataError: a user is unknown, or k is below 1.
        """
        if k < 1:
            raise DataError(f"A list must hold at least 1 item, got k = {k}. Raise k.")
        numbers = self._numbers(users)
        chunk = max(1, CHUNK_SCORES // len(self.item_ids))
        parts = [
            self._lists(numbers[start : start + chunk], k)
            for start in range(0, len(numbers), chunk)
        ]
        return pl.concat(parts) if parts else self._lists(numbers, k)

    def _lists(self, users: npt.NDArray[np.int64], k: int) -> pl.DataFrame:
        requests = Requests.of(self.known, users)
        with answering(self.folder):
            scores = self._scores(requests)
            items = shown(self.served, scores, requests, k)
        values = scores.gather(1, items.clamp(min=0)).reshape(-1).numpy()
        flat = items.reshape(-1).numpy()
        length = items.shape[1]
        table = pl.DataFrame(
            {
                "user": self.user_ids[np.repeat(users, length)],
                "rank": np.tile(np.arange(1, length + 1), len(users)),
                "item": self.item_ids[flat.clip(min=0)],
                "score": values,
            }
        )
        return table.filter(pl.Series(flat != NO_ITEM))

    def _scores(self, requests: Requests) -> torch.Tensor:
        if not len(requests):
            return torch.empty(0, len(self.item_ids))
        return self.served.scores(requests)

    def _numbers(self, users: Sequence[str | int] | None) -> npt.NDArray[np.int64]:
        if users is None:
            return np.arange(len(self.user_ids))
        wanted = [str(user) for user in users]
        unknown = [user for user in wanted if user not in self._number_of]
        if unknown:
            shown = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
            raise DataError(
                f"{self.folder}: users must be among the {len(self.user_ids)} the model was "
                f"trained with, got {shown}. See {export.USERS} for their ids."
            )
        return np.array([self._number_of[user] for user in wanted], np.int64)

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {str(user): number for number, user in enumerate(self.user_ids)}


@dataclass(frozen=True)
class Ranker:
    """A loaded artefact that judges single events.

    Attributes:
        folder: where it was read.
        configuration: what it was made from.
        served: the model.
        encoding: how cells become the model's values.
        manifest: versions and digests.
        measurements: part -> objective -> value and standard error.
    """

    folder: Path
    configuration: Configuration
    served: Served
    encoding: RowEncoding
    manifest: dict[str, Any]
    measurements: dict[str, dict[str, dict[str, float | None]]]

    def read(
        self,
        path: Path,
        format: Format | None = None,
        separator: str | None = None,
        *,
        header: bool = True,
    ) -> pl.DataFrame:
        """The rows of a file, as `predict` takes them.

        Args:
            path: CSV, TSV, Parquet or ``.inter``, with the columns the model was trained on.
            format: None goes by the extension.
            separator: one character between the fields of CSV and TSV; None is the format's.
            header: whether the first line of text names the columns; else they are c0, c1 and so
                on.

        Raises:
            DataError: the file cannot be read, or a column is missing.
        """
        check_separator("separator", separator)
        table = open_table(str(path), format, separator, headed=header, least=1, section="")
        return table.read(self.encoding.read_columns(table.header, str(path)))

    def predict(self, rows: pl.DataFrame, where: str = "rows") -> pl.DataFrame:
        """How likely the label of each row is 1.

        Args:
            rows: the columns that the model was trained on, any others beside them; values it has
                not met stand for what is rare or unknown.
            where: what messages call them.

        Returns:
            Column probability (float32), the rows in their order.

        Raises:
            DataError: a column is missing, or a cell is no number where one is needed.
        """
        fields = self.encoding.encode(rows, where)
        with answering(self.folder):
            parts = [
                self.served.logits(unlabelled(fields, start, min(start + CHUNK_ROWS, rows.height)))
                for start in range(0, rows.height, CHUNK_ROWS)
            ]
        logits = torch.cat(parts) if parts else torch.empty(0)
        return pl.DataFrame({"probability": logits.float().sigmoid().numpy()})


def load(folder: Path | str, *, registry: Registry | None = None) -> Recommender | Ranker:
    """Loads an artefact.

    Args:
        folder: what ``automl-rec export`` wrote.
        registry: installed components; discovered if None.

    Raises:
        ExportError: the folder is no complete artefact, or was changed since it was written.
        PluginError: a component of the configuration is not installed.
    """
    folder = Path(folder)
    registry = registry or Registry.discover()
    manifest = _manifest(folder)
    stored = export.read_model(folder / export.MODEL)
    catalog, known = read_catalog(folder / export.CATALOG)
    measured = _measured(folder / export.MEASUREMENTS)
    # What belongs together is compared before anything is built of sizes that a file names.
    if catalog.rows is not None:
        encoding = _encoding(folder / export.ROWS, catalog.rows)
        served = _served(stored, catalog, registry)
        return Ranker(folder, stored.configuration, served, encoding, manifest, measured)
    users = _ids(folder / export.USERS, catalog.num_users)
    items = _ids(folder / export.ITEMS, catalog.num_items)
    served = _served(stored, catalog, registry)
    configuration = stored.configuration
    return Recommender(folder, configuration, served, known, users, items, manifest, measured)


@contextmanager
def answering(folder: Path) -> Iterator[None]:
    """Turns what a model of damaged tensors stumbles over into an error of its artefact.

    Raises:
        ExportError: the model cannot answer.
    """
    try:
        yield
    except DAMAGE as error:
        raise ExportError(
            f"{folder}: the model cannot answer ({reason_of(error)}): its tensors contradict each "
            f"other, or the plugin it is of has changed. Export the artefact again."
        ) from error


def _served(stored: export.StoredModel, catalog: Catalog, registry: Registry) -> Served:
    task: Task = "retrieval" if catalog.rows is None else "ranking"
    name = stored.configuration.model.name
    if not solves(registry.component("model", name), task):
        raise ExportError(
            f"The artefact holds data of the task {task}, and the model {name} is of another. "
            f"Export the configuration again."
        )
    try:
        require_allowed(stored.configuration, registry)
    except SpaceError as error:
        raise ExportError(f"{error} Export the configuration again.") from error
    return restore(stored.configuration, catalog, registry, stored.structure, stored.tensors)


def _encoding(path: Path, rows: RowTable) -> RowEncoding:
    """How cells become the fields of a catalog.

    Raises:
        ExportError: the file is damaged, or of other fields.
    """
    try:
        encoding = RowEncoding.read(path)
    except DataError as error:
        raise ExportError(str(error)) from error
    kinds = {name: (field.kind, field.cardinality) for name, field in rows.fields.items()}
    if encoding.kinds() != kinds:
        raise ExportError(
            f"{path}: these are not the fields that {export.CATALOG} holds. "
            f"Export the artefact again."
        )
    return encoding


def _measured(path: Path) -> dict[str, dict[str, dict[str, float | None]]]:
    try:
        measured: dict[str, dict[str, dict[str, float | None]]] = json.loads(
            path.read_text("utf-8")
        )
    except (*DAMAGE, OSError) as error:
        raise ExportError(
            f"{path}: these are no measurements ({reason_of(error)}). Export the artefact again."
        ) from error
    return measured


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / export.MANIFEST).read_text("utf-8"))
        files, version = dict(manifest["files"]), manifest["format"]
    except (*DAMAGE, OSError) as error:
        raise ExportError(
            f"{folder}: this is no artefact ({reason_of(error)}). "
            f"Give a folder that automl-rec export wrote."
        ) from error
    if version != export.FORMAT:
        raise ExportError(
            f"{folder}: an artefact must have format {export.FORMAT}, got {version}. "
            f"Export it again with this version of automl-rec."
        )
    # The names come from this program, never from the manifest.
    for name in export.FILES["ranking" if export.ROWS in files else "retrieval"]:
        path = folder / name
        if not path.is_file() or export.sha256(path) != files.get(name):
            raise ExportError(
                f"{path}: this file must be as it was exported, but is missing or changed. "
                f"Export the artefact again."
            )
    return dict(manifest)


def _ids(path: Path, number: int) -> pl.Series:
    """Different ids, so many.

    Raises:
        ExportError: the file is damaged, or holds others.
    """
    try:
        ids = read_parquet(path, ["id"])["id"].cast(pl.String)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ExportError(
            f"{path}: these are no ids ({reason_of(error)}). Export the artefact again."
        ) from error
    if len(ids) != number or number == 0 or ids.null_count() or ids.n_unique() != number:
        raise ExportError(
            f"{path}: {export.CATALOG} holds {number}, and there must be as many ids, each once. "
            f"Export the artefact again."
        )
    return ids
