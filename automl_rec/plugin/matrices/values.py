"""Stored values: floating point, or integers of which those of four bits share bytes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from automl_rec.plugin.form import Precision

INDEX_TYPES = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32}
"""Of places and codes, by their bytes."""
VALUE_TYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "int16": torch.int16,
    "int8": torch.int8,
    "int4": torch.uint8,
}
"""Of stored values; two of four bits share a byte, the first of them in its low half."""


def stored_as(values: Tensor, precision: Precision) -> Tensor:
    """Rounded values (..., n) as they are stored: (..., n), or of four bits (..., ceil(n / 2))."""
    if precision != "int4":
        return values.to(VALUE_TYPES[precision]).contiguous()
    halves = F.pad(values.to(torch.int8), (0, values.shape[-1] % 2)) & 15
    return (halves[..., ::2] | halves[..., 1::2] << 4).view(torch.uint8)


def numbers_of(stored: Tensor, count: int) -> Tensor:
    """Stored values of rows of so many as float32: (..., count)."""
    if stored.dtype != VALUE_TYPES["int4"]:
        return stored.float()
    halves = torch.stack([stored & 15, stored >> 4], -1).flatten(-2)[..., :count]
    return (halves.to(torch.int8) ^ 8).sub_(8).float()


def precision_of(values: Tensor) -> Precision:
    """The precision of stored values."""
    return next(name for name, dtype in VALUE_TYPES.items() if dtype == values.dtype)
