"""Where prepared data lie, and how a folder appears there whole or not at all."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from automl_rec.errors import DataError

_UNFINISHED = ".unfinished-"
_DAY_SECONDS = 86_400


def cache_folder() -> Path:
    """``AUTOML_REC_CACHE``, else the platform's folder for caches of the user."""
    chosen = os.environ.get("AUTOML_REC_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "automl_rec"
    variable, fallback = (
        ("LOCALAPPDATA", Path.home() / "AppData" / "Local")
        if sys.platform == "win32"
        else ("XDG_CACHE_HOME", Path.home() / ".cache")
    )
    return Path(os.environ.get(variable) or fallback) / "automl_rec"


def write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a folder that appears under its name only when it is complete.

    If another process was faster its folder stays.

    Raises:
        DataError: the disk refuses.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder.parent))
        try:
            write(unfinished)
            _publish(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder}: the prepared data cannot be written ({error.strerror or error}). "
            "Free space, or set AUTOML_REC_CACHE to a folder that can be written."
        ) from error


def _publish(unfinished: Path, folder: Path) -> None:
    # mkdtemp makes folders private; a cache may be shared.
    unfinished.chmod(0o755)
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _remove_abandoned(cache: Path) -> None:
    """Remove what a killed process left; one still at work has written within a day."""
    for folder in cache.glob(f"{_UNFINISHED}*"):
        if time.time() - folder.stat().st_mtime > _DAY_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
