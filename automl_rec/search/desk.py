"""The desk of a study, beside its folder: word and files for workers that may not see it."""

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from automl_rec import export
from automl_rec.data.travel import inside
from automl_rec.errors import StorageError


class Desk:
    """Answers trainings, and keeps their files. Every engine's workers may have to ask twice.

    Args:
        artefacts: folder of models, by run.
        trainings: folder of training files, by training part.
    """

    def __init__(self, artefacts: Path, trainings: Path) -> None:
        self._artefacts, self._trainings = artefacts, trainings
        self._answers: dict[str, dict[int, asyncio.Future[bool]]] = defaultdict(dict)
        self._large: dict[str, int] = {}

    async def tell(self, run: str, epoch: int, proceed: bool) -> None:  # noqa: FBT001 - a message
        """Notes whether a training goes on after an epoch."""
        answer = self._answer(run, epoch)
        if not answer.done():
            answer.set_result(proceed)

    async def answer(self, run: str, epoch: int) -> bool:
        """Whether a training goes on after an epoch, as soon as that is known."""
        return await asyncio.shield(self._answer(run, epoch))

    async def forget(self, run: str) -> None:
        """Drops what is known of a run that has ended."""
        self._answers.pop(run, None)
        self._large.pop(run, None)

    async def complain(self, run: str, held: int) -> None:
        """Notes that a run holds more bytes than it may."""
        self._large[run] = held

    async def large(self) -> Mapping[str, int]:
        """The runs that hold more bytes than they may, and how many."""
        return self._large

    async def training(self, name: str) -> bytes | None:
        """The training file of a name, if there is one.

        Raises:
            StorageError: the name is more than a name.
        """
        file = inside(self._trainings, name)
        return file.read_bytes() if file.is_file() else None

    async def keep_training(self, name: str, content: bytes) -> None:
        """Keeps a training file.

        Raises:
            StorageError: it cannot be written, or its name is more than a name.
        """
        _write(inside(self._trainings, name), content)

    async def keep_model(self, run: str, content: bytes) -> str:
        """Keeps the model of a run, and gives its path.

        Raises:
            StorageError: it cannot be written, or the run's name is more than a name.
        """
        file = inside(self._artefacts, run) / export.MODEL
        _write(file, content)
        return str(file)

    def _answer(self, run: str, epoch: int) -> asyncio.Future[bool]:
        known = self._answers[run]
        if epoch not in known:
            known[epoch] = asyncio.get_running_loop().create_future()
        return known[epoch]


def _write(file: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        StorageError: the disk refuses.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise StorageError(
            f"{file}: what a worker sent could not be written ({error.strerror or error}). "
            f"Free some space, or choose another folder with --out."
        ) from error
