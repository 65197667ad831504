"""Hidden layers, as the deep part of every model of single events."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import Layers
from automl_rec_models.dropout import dropout

MOMENTUM = 0.1
EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Hidden:
    """The hidden layers of a perceptron.

    Attributes:
        width: units of each layer.
        depth: number of layers.
        batch_norm: whether sums are normalised over the batch before they are cut at 0.
        dropout: share of a layer's outputs that training leaves out.
    """

    width: int
    depth: int
    batch_norm: bool = False
    dropout: float = 0.0


class Perceptron(nn.Module):
    """Linear layers, each followed by a batch normalisation if wanted, relu and dropout.

    Attributes:
        width: of what comes out.
        operations: multiply-adds a row beside those of the weights.
    """

    def __init__(self, name: str, n_in: int, layers: Layers, hidden: Hidden) -> None:
        super().__init__()
        sizes = [n_in] + [hidden.width] * hidden.depth
        self.width, self._dropout = sizes[-1], hidden.dropout
        self.linears = nn.ModuleList()
        before = None
        for number, (inputs, outputs) in enumerate(pairwise(sizes), 1):
            # A shift before the normalisation would do nothing.
            bias = not hidden.batch_norm
            before = layers.linear(f"{name}{number}", inputs, outputs, bias=bias, after=before)
            self.linears.append(before)
        norms = sizes[1:] if hidden.batch_norm else []
        self.norms = nn.ModuleList(BatchNorm(size) for size in norms)
        self.operations = float(sum(norms))

    def forward(self, states: Tensor) -> Tensor:
        """(B, n_in) to (B, width)."""
        for number, linear in enumerate(self.linears):
            states = linear(states)
            if self.norms:
                states = self.norms[number](states)
            states = torch.relu(states)
            if self.training:
                states = dropout(states, self._dropout)
        return states


class BatchNorm(nn.Module):
    """Batch normalisation that takes a batch of one row as it takes rows at serving."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, states: Tensor) -> Tensor:
        """(B, width) to (B, width)."""
        return F.batch_norm(
            states,
            self.mean,
            self.variance,
            self.gain,
            self.shift,
            training=self.training and len(states) > 1,
            momentum=MOMENTUM,
            eps=EPSILON,
        )
