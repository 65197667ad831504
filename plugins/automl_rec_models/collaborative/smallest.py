"""Integers that ship with a model, in as few bytes as they fit."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def smallest(values: npt.NDArray[np.integer[Any]], largest: int) -> Tensor:
    """The values in the smallest unsigned type; on the meta device their shape and type alone."""
    dtype = np.min_scalar_type(largest)
    stored = torch.from_numpy(values.astype(dtype))
    return torch.empty_like(stored, device=torch.get_default_device()).copy_(stored)
