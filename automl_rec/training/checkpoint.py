"""Checkpoints: the weights of a model at one moment of its training."""

from itertools import chain

import torch
from torch import Tensor, nn

from automl_rec.plugin import TrainableMatrix


class Checkpoint:
    """The latest saved parameters, buffers and masks of a module, in memory."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._saved: dict[str, Tensor] = {}

    @torch.no_grad()
    def save(self) -> None:
        """Replaces what is saved by what the module holds now."""
        current = self._current()
        if self._saved.keys() != current.keys():
            self._saved = {name: tensor.detach().clone() for name, tensor in current.items()}
            return
        for name, tensor in current.items():
            self._saved[name].copy_(tensor)

    @torch.no_grad()
    def restore(self) -> None:
        """Gives the module back what is saved; a mask set since then keeps every entry."""
        for name, tensor in self._current().items():
            if name in self._saved:
                tensor.copy_(self._saved[name])
            elif name.endswith("mask"):
                tensor.fill_(1.0)

    def kept(self) -> dict[str, Tensor]:
        """What is saved, and would be served: parameters, persistent buffers and masks."""
        return {name: self._saved[name] for name in state_of(self._module) if name in self._saved}

    def keep(self, saved: dict[str, Tensor]) -> None:
        """Takes the place of what is saved."""
        self._saved = saved

    def _current(self) -> dict[str, Tensor]:
        return dict(chain(self._module.named_parameters(), self._module.named_buffers()))


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The parameters, persistent buffers and masks of a module, by name."""
    masks = {
        f"{name}.mask": part.mask
        for name, part in module.named_modules()
        if isinstance(part, TrainableMatrix) and part.mask is not None
    }
    return {**module.state_dict(keep_vars=True), **masks}


def entries_kept(module: nn.Module) -> float:
    """Entries of the weights under training that masks leave; one that is weighed down, in part."""
    matrices = (part for part in module.modules() if isinstance(part, TrainableMatrix))
    return sum(
        matrix.weight.numel() if matrix.mask is None else float(matrix.mask.double().sum())
        for matrix in matrices
    )
