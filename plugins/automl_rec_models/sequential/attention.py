"""One block of a causal transformer."""

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import Layers

Norm: TypeAlias = Literal["pre", "post", "original"]


def visible(known: Tensor) -> Tensor:
    """Which position each position may look at: those before it that hold an item, and itself.

    Itself also where it holds none, or a softmax over nothing would give NaN.

    Args:
        known: (B, L) bool, whether a position holds an item.

    Returns:
        (B, 1, L, L) bool, query before key.
    """
    length = known.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    itself = torch.eye(length, dtype=torch.bool)
    return ((known[:, None, :] & earlier) | itself)[:, None]


class Block(nn.Module):
    """Attention, then a feed-forward layer, each with a residual connection.

    ``norm`` says where layers are normalised: ``"pre"`` before each of the two, ``"post"`` after
    each residual sum, ``"original"`` before each, but with keys and values left as they are and the
    normalised input as residual, as in the paper's own code.
    """

    def __init__(
        self,
        name: str,
        width: int,
        layers: Layers,
        *,
        heads: int,
        dropout: float,
        norm: Norm,
        positions: float,
        last: bool,
    ) -> None:
        """Asks for the weights of a block.

        Args:
            name: of the block, before those of its weights.
            width: D.
            layers: where the weights come from.
            heads: number of attention heads, a divisor of the width.
            dropout: probability.
            norm: see above.
            positions: positions computed to score one user.
            last: whether only the last position of the output is wanted then.
        """
        super().__init__()
        outputs = 1.0 if last else positions
        self._heads, self._dropout, self._norm = heads, dropout, norm
        self.query = layers.linear(f"{name}.query", width, width, products=outputs)
        self.key_value = layers.linear(f"{name}.key_value", width, 2 * width, products=positions)
        self.out = layers.linear(f"{name}.out", width, width, products=outputs)
        self.inner = layers.linear(f"{name}.inner", width, width, products=outputs)
        self.outer = layers.linear(f"{name}.outer", width, width, products=outputs)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, states: Tensor, mask: Tensor, *, last: bool = False) -> Tensor:
        """Transforms states (B, L, D) under a mask (B, 1, L, L).

        Returns:
            (B, L, D), or (B, 1, D) of the last position alone.
        """
        if last:
            mask = mask[:, :, -1:]
        chosen = states[:, -1:] if last else states
        if self._norm == "post":
            states = self.first_norm(chosen + self._attend(chosen, states, mask))
            normalised: Tensor = self.second_norm(states + self._feed(states))
            return normalised
        queries = self.first_norm(chosen)
        if self._norm == "original":
            states = self.second_norm(queries + self._attend(queries, states, mask))
            return states + self._feed(states)
        states = chosen + self._attend(queries, self.first_norm(states), mask)
        return states + self._feed(self.second_norm(states))

    def _attend(self, queries: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, D) from queries (B, Q, D) and states (B, L, D)."""
        keys, values = self.key_value(states).chunk(2, -1)
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(queries)),
            self._split(keys),
            self._split(values),
            attn_mask=mask,
            dropout_p=self._dropout if self.training else 0.0,
        )
        return self._drop(self.out(mixed.transpose(1, 2).flatten(2)))

    def _split(self, states: Tensor) -> Tensor:
        """(B, L, D) to (B, heads, L, D / heads)."""
        return states.reshape(*states.shape[:2], self._heads, -1).transpose(1, 2)

    def _feed(self, states: Tensor) -> Tensor:
        return self._drop(self.outer(self._drop(torch.relu(self.inner(states)))))

    def _drop(self, states: Tensor) -> Tensor:
        return F.dropout(states, self._dropout, self.training)
