"""Cross networks: layers that multiply what they compute with their first input."""

import torch
from torch import Tensor, nn

from automl_rec.plugin import Layers


class CrossNetwork(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l.

    Attributes:
        operations: multiply-adds a row beside those of the weights.
    """

    def __init__(self, width: int, count: int, layers: Layers) -> None:
        """Asks for the weights.

        Args:
            width: D of what goes in and comes out.
            count: number of layers.
            layers: where the weights come from.
        """
        super().__init__()
        self.crosses = nn.ModuleList(
            layers.linear(f"cross{number}", width, width) for number in range(1, count + 1)
        )
        self.operations = float(count * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        state = x
        for cross in self.crosses:
            state = torch.addcmul(state, x, cross(state))
        return state


class CrossMixture(nn.Module):
    """x_{l+1} = x_0 * (sum_e g_e(x_l) U_e tanh(C_e tanh(V_e' x_l)) + b_l) + x_l.

    The gates g are a softmax over the experts, of weights that all layers share. The V_e of a layer
    stand below each other in one weight, its U_e beside each other.

    Attributes:
        operations: multiply-adds a row beside those of the weights.
    """

    def __init__(self, width: int, count: int, layers: Layers, *, rank: int, experts: int) -> None:
        """Asks for the weights.

        Args:
            width: D of what goes in and comes out.
            count: number of layers.
            layers: where the weights come from.
            rank: R of each expert.
            experts: how many a layer has; one needs no gate.
        """
        super().__init__()
        self._experts = experts
        inner = rank * experts
        numbers = range(1, count + 1)
        self.into = nn.ModuleList(
            layers.linear(f"cross{number}.into", width, inner, bias=False) for number in numbers
        )
        self.inside = nn.ModuleList(
            layers.linear(f"cross{number}.expert{expert}", rank, rank, bias=False)
            for number in numbers
            for expert in range(1, experts + 1)
        )
        self.back = nn.ModuleList(
            layers.linear(f"cross{number}.back", inner, width) for number in numbers
        )
        self.gate = (
            layers.linear("gate", width, experts, bias=False, products=count, sensitive=True)
            if experts > 1
            else None
        )
        self.operations = float(count * (width + (inner if experts > 1 else 0)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        state = x
        for number in range(len(self.into)):
            state = torch.addcmul(state, x, self._mixed(number, state))
        return state

    def _mixed(self, number: int, state: Tensor) -> Tensor:
        """(B, D) what the experts of one layer say together."""
        codes = torch.tanh(self.into[number](state)).chunk(self._experts, 1)
        inside = self.inside[number * self._experts : (number + 1) * self._experts]
        said = [torch.tanh(expert(code)) for expert, code in zip(inside, codes, strict=True)]
        if self.gate is not None:
            gates = torch.softmax(self.gate(state), 1)  # (B, experts)
            said = [part * gates[:, e, None] for e, part in enumerate(said)]
        mixed: Tensor = self.back[number](torch.cat(said, 1))
        return mixed
