"""Histories of similar length together, so that little of what is computed is padding."""

import torch
from torch import Tensor

NARROWEST = 8


def by_length(histories: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Histories (B, L), padded on the left, sorted by length and parted.

    Lengths up to 8 are one part, then those up to 16, to 32, and so on.

    Returns:
        Their order (B,), and the parts (G, W), each as wide as its longest history needs; together
        ``histories[order]`` without padding on the left.
    """
    length = histories.shape[1]
    lengths, order = (histories >= 0).sum(1).sort(stable=True)
    bounds = [NARROWEST]
    while bounds[-1] < length:
        bounds.append(2 * bounds[-1])
    ends = torch.searchsorted(lengths, torch.tensor(bounds), right=True).tolist()
    starts = [0, *ends[:-1]]
    widths = [max(int(lengths[end - 1]), 1) for end in ends]
    sorted_histories = histories[order]
    return order, [
        sorted_histories[start:end, length - width :]
        for start, end, width in zip(starts, ends, widths, strict=True)
        if start < end
    ]
