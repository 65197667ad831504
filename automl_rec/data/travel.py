"""Prepared data on machines that do not see the folder where they were prepared."""

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from automl_rec.data.cache import cache_folder, write_whole
from automl_rec.data.prepared import Prepared
from automl_rec.errors import DataError, StorageError

Files = Mapping[str, np.ndarray[tuple[int], np.dtype[np.uint8]]]


def packed(data: Prepared) -> Files:
    """Name -> (bytes,): the files of prepared data; what is derived from them is made again."""
    files = sorted(path for path in data.folder.iterdir() if path.is_file())
    return {path.name: np.fromfile(path, dtype=np.uint8) for path in files}


def arrived(folder: Path, digest: str, fetch: Callable[[], Files]) -> Prepared:
    """Prepared data where they are seen, else a copy in this machine's cache.

    Args:
        folder: where they were prepared, perhaps on another machine.
        digest: of the data meant.
        fetch: gives their files; called by one process of a machine, whatever their number.

    Raises:
        DataError: the copy cannot be written, or is not of the data meant.
    """
    copy = cache_folder() / digest
    for place in (folder, copy):
        if data := _seen(place, digest):
            return data
    with _alone(copy):
        if _seen(copy, digest) is None:
            write_whole(copy, lambda target: _unpack(fetch(), target))
    if data := _seen(copy, digest):
        return data
    raise DataError(
        f"{copy}: what arrived is not the prepared data {digest}. Remove this folder, and see that "
        "the same version of automl_rec is installed on every machine."
    )


def inside(folder: Path, name: str) -> Path:
    """The file of a name in a folder, and never one outside.

    Raises:
        StorageError: the name is more than a name.
    """
    if name in ("", ".", "..") or not name.isprintable() or {"/", "\\"} & set(name):
        raise StorageError(
            f"A file that comes from another machine must have a plain name, got {name!r}. See "
            f"that the same version of automl_rec is installed on every machine."
        )
    return folder / name


def _seen(folder: Path, digest: str) -> Prepared | None:
    try:
        data = Prepared.open(folder)
    except DataError:
        return None
    return data if data.digest == digest else None


@contextmanager
def _alone(copy: Path) -> Iterator[None]:
    """Lets one process of the machine in at a time."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        lock = copy.with_name(f".{copy.name}.lock").open("w")
    except OSError as error:
        raise DataError(
            f"{copy}: the prepared data cannot be written ({error.strerror or error}). "
            "Free space, or set AUTOML_REC_CACHE to a folder that can be written."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(files: Files, target: Path) -> None:
    for name, content in files.items():
        content.tofile(inside(target, name))
