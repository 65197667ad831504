"""The identity of prepared data: what went in, wherever it lay."""

import hashlib
import json
from pathlib import Path

from automl_rec.data.reader import PARTS, event_files
from automl_rec.data.request import DataRequest, Format
from automl_rec.data.table import existing, format_of, is_compressed
from automl_rec.errors import DataError

FORMAT_VERSION = 2
"""Of the prepared folder; raised whenever the same input would be written differently."""


def digest_of(request: DataRequest) -> str:
    """Hexadecimal sha256 over the files' bytes and how they are read, the request and the version.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    files = [(PARTS[part], path, request.format) for part, path in event_files(request)]
    for role, features in (("user", request.user_features), ("item", request.item_features)):
        if features is not None:
            files.append((role, features.path, features.format))
    facts = {
        "format_version": FORMAT_VERSION,
        "request": request.canonical(),
        "files": {
            name: (_format(existing(path), given), _file_digest(path))
            for name, path, given in files
        },
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _format(path: Path, given: Format | None) -> str:
    return format_of(path, given) + (".gz" if is_compressed(path) else "")


def _file_digest(path: str) -> str:
    try:
        with existing(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}). Check its permissions.") from error
