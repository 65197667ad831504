"""Resumption: a training written to a file, to go on from where it stopped."""

import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from automl_rec.errors import DAMAGE, NotResumableError, StorageError, reason_of

_HEADER = "training 3"


class TrainingFile:
    """Where a training is kept between runs.

    Args:
        path: the file; absent before the first validation.
        identity: what is trained, from what, with which seed: a file of another is refused.
        share: of the time, at most, that goes into writing it; 1 writes after every validation.
        keep: whether it is written once more when the training has ended, whatever that takes,
            for others who need what was trained.

    Attributes:
        earlier: seconds of wall time that the runs before this one spent, once it is read.
    """

    def __init__(
        self, path: Path, identity: str, share: float = 1.0, *, keep: bool = False
    ) -> None:
        self.path, self.identity, self.keep = path, identity, keep
        self.earlier = 0.0
        self._share = share
        self._began = self._written = time.monotonic()
        self._cost = 0.0

    @property
    def due(self) -> bool:
        """Whether the share of the time allows it to be written now."""
        elapsed = time.monotonic() - self._written
        return self._share >= 1 or self._cost <= self._share * elapsed

    def write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replaces the file as a whole.

        Args:
            tensors: weights, moments and states of random sources.
            facts: plain data beside them.

        Raises:
            StorageError: the file cannot be written.
        """
        began = time.monotonic()
        spent = self.earlier + began - self._began
        header = json.dumps({"identity": self.identity, "spent": spent, **facts})
        # Another machine may write the same file, if it was thought that this one is lost.
        beside = self.path.with_name(f"{self.path.name}.{socket.gethostname()}.{os.getpid()}.part")
        contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            safetensors.torch.save_file(contiguous, beside, {_HEADER: header})
            beside.replace(self.path)
        except (OSError, safetensors.SafetensorError) as error:
            with suppress(OSError):
                beside.unlink()
            raise StorageError(
                f"{self.path}: the training could not be written ({error}). "
                f"Free space or name another file; the run before it is kept."
            ) from error
        self._written = time.monotonic()
        self._cost = self._written - began

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was written last, or None.

        Raises:
            NotResumableError: the file is damaged, or of another training.
        """
        try:
            if not self.path.exists():
                return None
            with safetensors.safe_open(self.path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                facts = json.loads((file.metadata() or {})[_HEADER])
                identity = facts.pop("identity")
                earlier = duration(facts.pop("spent"))
        except (*DAMAGE, OSError, safetensors.SafetensorError) as error:
            raise self._incomplete(error) from error
        if identity != self.identity:
            raise NotResumableError(
                f"{self.path}: this is the training of another configuration, other data, "
                f"another seed or another first quality. "
                f"Name another file, or remove it to begin again."
            )
        self.earlier = earlier
        return tensors, facts

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Turns what the content stumbles over where it is taken up into an error of the file.

        Raises:
            NotResumableError: the file is damaged.
        """
        try:
            yield
        except DAMAGE as error:
            raise self._incomplete(error) from error

    def _incomplete(self, error: Exception) -> NotResumableError:
        return NotResumableError(
            f"{self.path}: this is no complete training ({reason_of(error)}). "
            f"Remove it to begin again, or name another file."
        )


@torch.no_grad()
def take(target: Tensor, tensors: Mapping[str, Tensor], name: str) -> None:
    """Copies what was written of a tensor, which must be of its shape and type.

    Raises:
        KeyError: nothing was written of it.
        ValueError: it has another shape or type.
    """
    require_like(target, tensors[name], name)
    target.copy_(tensors[name])


def require_like(target: Tensor, found: Tensor, name: str) -> None:
    """Refuses a tensor of another shape or type, which copying would stretch or round.

    Raises:
        ValueError: saying which.
    """
    if (found.shape, found.dtype) != (target.shape, target.dtype):
        raise ValueError(
            f"{name} must be {target.dtype} of {tuple(target.shape)}, got {found.dtype} of "
            f"{tuple(found.shape)}"
        )


def duration(found: Any) -> float:
    """A number of seconds.

    Raises:
        ValueError: it is another value.
    """
    if not isinstance(found, int | float) or not 0 <= found < math.inf:
        raise ValueError(f"seconds must be a number of at least 0, got {found}")
    return float(found)


def whole(facts: Mapping[str, Any], name: str, most: float = math.inf) -> int:
    """A whole number of at least 0.

    Raises:
        KeyError: it is missing.
        ValueError: it is another value.
    """
    found = facts[name]
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= most:
        raise ValueError(f"{name} must be a whole number from 0 to {most:g}, got {found}")
    return found
