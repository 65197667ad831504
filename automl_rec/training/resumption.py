"""Resumption: a training written to a file, to go on from where it stopped."""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from automl_rec.errors import NotResumableError, StorageError

_HEADER = "training 3"


class TrainingFile:
    """Where a training is kept between runs.

    Args:
        path: the file; absent before the first validation.
        identity: what is trained, from what, with which seed: a file of another is refused.
        share: of the time, at most, that goes into writing it; 1 writes after every validation.

    Attributes:
        earlier: seconds of wall time that the runs before this one spent, once it is read.
    """

    def __init__(self, path: Path, identity: str, share: float = 1.0) -> None:
        self.path, self.identity = path, identity
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
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                facts = json.loads((file.metadata() or {})[_HEADER])
        except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise NotResumableError(
                f"{self.path}: this is no complete training ({error}). "
                f"Remove it to begin again, or name another file."
            ) from error
        if facts.pop("identity") != self.identity:
            raise NotResumableError(
                f"{self.path}: this is the training of another configuration, other data, "
                f"another seed or another first quality. "
                f"Name another file, or remove it to begin again."
            )
        self.earlier = float(facts.pop("spent"))
        return tensors, facts
