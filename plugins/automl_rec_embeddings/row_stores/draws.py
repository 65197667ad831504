"""Random sources whose state is two numbers."""

import torch
from torch import Tensor, nn


class Draws(nn.Module):
    """A new source for every draw, from a seed and a count that are kept with the weights."""

    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(2, dtype=torch.int64))

    def begin(self, generator: torch.Generator) -> None:
        """Draws the seed of all that follow."""
        self.state[0] = torch.randint(2**62, (), generator=generator)

    def next(self) -> torch.Generator:
        """The source of the next draw."""
        seed, count = self.state.tolist()
        self.state[1] += 1
        return torch.Generator().manual_seed(seed + count)
