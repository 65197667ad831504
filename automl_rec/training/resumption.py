"""Resumption: a training written to a file, to go on from where it stopped."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from automl_rec.errors import StorageError

_HEADER = "training 3"


@dataclass(frozen=True, slots=True)
class TrainingFile:
    """Where a training is kept between runs.

    Attributes:
        path: the file; absent before the first validation.
        identity: what is trained, from what, with which seed: a file of another is refused.
    """

    path: Path
    identity: str

    def write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replaces the file as a whole.

        Args:
            tensors: weights, moments and states of random sources.
            facts: plain data beside them.

        Raises:
            StorageError: the file cannot be written.
        """
        header = json.dumps({"identity": self.identity, **facts})
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
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

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was written last, or None.

        Raises:
            StorageError: the file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                facts = json.loads((file.metadata() or {})[_HEADER])
        except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise StorageError(
                f"{self.path}: this is no complete training ({error}). "
                f"Remove it to begin again, or name another file."
            ) from error
        if facts.pop("identity") != self.identity:
            raise StorageError(
                f"{self.path}: this is the training of another configuration, other data, "
                f"another seed or another first quality. "
                f"Name another file, or remove it to begin again."
            )
        return tensors, facts
