"""Artefacts, written: what a configuration becomes when it is shipped.

An artefact is a folder:

    model.safetensors    the tensors served; structure and configuration in the file's header
    configuration.yaml   a space of this one configuration: ``automl-rec train`` makes it again
    catalog.safetensors  of what the model was built on: histories, train (what it knew) and known
                         (what is not shown), with the features of users and items; or of rows the
                         fields with the counts of their values
    users.parquet        original user ids by number; only where lists are made
    items.parquet        original item ids by number; the same
    rows.parquet         how the cells of rows become values; only where single events are judged
    measurements.json    every objective on validation and test, with standard errors
    manifest.json        versions, digests, and the SHA-256 of every other file

Nothing in it is executed or unpickled when it is loaded.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import safetensors
import safetensors.torch
from torch import Tensor

from automl_rec import __version__
from automl_rec.data import Prepared
from automl_rec.data.catalog_files import write_catalog
from automl_rec.errors import DAMAGE, ExportError, SpaceError, reason_of
from automl_rec.naming import is_folder_name
from automl_rec.objectives.objective import Measurement
from automl_rec.plugin import Histories
from automl_rec.served import Served
from automl_rec.space import reader
from automl_rec.space.configuration import Configuration

FORMAT = 4
MODEL = "model.safetensors"
CONFIGURATION = "configuration.yaml"
CATALOG = "catalog.safetensors"
USERS, ITEMS = "users.parquet", "items.parquet"
ROWS = "rows.parquet"
MEASUREMENTS = "measurements.json"
MANIFEST = "manifest.json"
_ALWAYS = (MODEL, CONFIGURATION, CATALOG, MEASUREMENTS)
FILES = {"retrieval": (*_ALWAYS, USERS, ITEMS), "ranking": (*_ALWAYS, ROWS)}
"""Task of the data -> the files of an artefact, all but the manifest."""
_DESCRIBED = "automl_rec"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """The content of a model file."""

    configuration: Configuration
    structure: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Artefact:
    """What goes into an artefact's folder.

    Attributes:
        model: path of the model file that `write_model` made.
        space: the space of this one configuration, as plain YAML data.
        data: the prepared data the model was trained on.
        measurements: part (``"validation"``, ``"test"``) -> objective -> measurement.
        plugins: distribution -> version of the components used.
        trained: facts of the training: seed, seconds, trial, and the like.
    """

    model: Path
    space: Mapping[str, Any]
    data: Prepared
    measurements: Mapping[str, Mapping[str, Measurement]]
    plugins: Mapping[str, str]
    trained: Mapping[str, Any] = field(default_factory=dict)


def write_model(path: Path, served: Served, configuration: Configuration) -> int:
    """Writes the model file of a trial.

    Returns:
        The bytes of its tensors, which is the objective ``bytes``.

    Raises:
        ExportError: the file cannot be written.
    """
    tensors = served.tensors()
    described = {"configuration": json.loads(configuration.text), "structure": served.structure()}
    # One entry: safetensors writes several in no fixed order, and equal models are equal files.
    header = {_DESCRIBED: json.dumps(described)}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, unfinished, header)
        unfinished.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        unfinished.unlink(missing_ok=True)
        raise ExportError(
            f"{path}: the model could not be written: {error}. Free some space, or "
            f"choose another folder with --out."
        ) from error
    return sum(tensor.nbytes for tensor in tensors.values())


def space_text(space: Mapping[str, Any]) -> str:
    """A space given as plain data, as the YAML that a space file holds."""
    return reader.write(space)


def read_model(path: Path) -> StoredModel:
    """Reads a model file.

    Raises:
        ExportError: the file is missing, damaged or no model file.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            described = json.loads((file.metadata() or {})[_DESCRIBED])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        configuration = Configuration.from_dict(described["configuration"])
        return StoredModel(configuration, described["structure"], tensors)
    except (*DAMAGE, OSError, SpaceError, safetensors.SafetensorError) as error:
        raise ExportError(
            f"{path}: this is no complete model file ({reason_of(error)}). Export the trial again."
        ) from error


def write(folder: Path, artefact: Artefact) -> Path:
    """Writes an artefact's folder, whole or not at all.

    Raises:
        ExportError: the folder exists and is no artefact, has no name of a folder, or cannot be
            written.
    """
    if not is_folder_name(folder.name):
        raise ExportError(
            f"{str(folder)!r}: an artefact needs a folder with a name of its own, such as model. "
            f"Choose another folder with --out."
        )
    if folder.exists() and not (folder / MANIFEST).is_file() and _occupied(folder):
        raise ExportError(
            f"{folder}: this must be a new or empty folder or an earlier artefact. "
            f"Choose another folder with --out."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _fill(unfinished, artefact)
            if folder.exists():
                shutil.rmtree(folder)
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise ExportError(
            f"{folder}: the artefact could not be written: {error}. Free some space, "
            f"or choose another folder with --out."
        ) from error
    return folder


def all_known(data: Prepared) -> Histories:
    """Every event of each user, test included, oldest first: what a service must not show again."""
    parts = (data.known("test"), data.test)
    users = np.concatenate([part.users() for part in parts])
    items = np.concatenate([part.items for part in parts])
    # Stable, so that within a user what was known stays before what was held out.
    order = np.argsort(users, kind="stable")
    if all(part.times is not None for part in parts):
        times = np.concatenate([part.times for part in parts if part.times is not None])
        order = np.lexsort((times, users))
    indptr = np.concatenate([[0], np.bincount(users, minlength=data.catalog.num_users).cumsum()])
    return Histories(indptr.astype(np.int64), items[order].astype(np.int32))


def _occupied(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())


def _fill(folder: Path, artefact: Artefact) -> None:
    folder.chmod(0o755)
    shutil.copyfile(artefact.model, folder / MODEL)
    (folder / CONFIGURATION).write_text(space_text(artefact.space), "utf-8")
    _write_data(folder, artefact.data)
    _write_json(folder / MEASUREMENTS, _plain(artefact.measurements))
    _write_json(folder / MANIFEST, _manifest(folder, artefact))
    for path in folder.iterdir():
        # safetensors writes for its owner alone; an artefact is there to be passed on.
        path.chmod(0o644)


def _write_data(folder: Path, data: Prepared) -> None:
    if data.catalog.rows is not None:
        write_catalog(folder / CATALOG, data.catalog)
        data.encoding.write(folder / ROWS)
        return
    write_catalog(folder / CATALOG, data.catalog, all_known(data))
    for name, ids in ((USERS, data.user_ids), (ITEMS, data.item_ids)):
        pl.DataFrame({"id": ids}).write_parquet(folder / name)


def _manifest(folder: Path, artefact: Artefact) -> dict[str, Any]:
    stored = read_model(artefact.model)
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    return {
        "format": FORMAT,
        "automl_rec": __version__,
        "configuration_digest": stored.configuration.digest,
        "data_digest": artefact.data.digest,
        "plugins": dict(artefact.plugins),
        "bytes": sum(tensor.nbytes for tensor in stored.tensors.values()),
        "trained": dict(artefact.trained),
        "files": {path.name: sha256(path) for path in files},
    }


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(
    measurements: Mapping[str, Mapping[str, Measurement]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        part: {
            name: {"value": found.value, "standard_error": found.standard_error}
            for name, found in measured.items()
        }
        for part, measured in measurements.items()
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
