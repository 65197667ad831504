"""One block of a causal transformer."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from automl_rec.plugin import Layers
from automl_rec_models.dropout import dropout

Norm: TypeAlias = Literal["pre", "post", "original"]
BANNED = -1e9
"""Added to the logit of a key that must not be seen; its softmax is exactly 0 in float32."""


def hidden(known: Tensor) -> Tensor:
    """What to add to attention logits, so that a position sees itself and the items before it.

    Itself also where it holds no item, or a softmax over nothing would give NaN.

    Args:
        known: (B, L) bool, whether a position holds an item.

    Returns:
        (B, 1, L, L) float32, query before key: 0 where the key is seen, else `BANNED`.
    """
    length = known.shape[1]
    earlier = torch.ones(length, length).tril(-1)
    seen = known.float()[:, None, :] * earlier + torch.eye(length)  # (B, L, L)
    return seen.sub_(1).mul_(-BANNED)[:, None]


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
        self._scale = (width // heads) ** -0.5
        self.query = layers.linear(f"{name}.query", width, width, products=outputs)
        self.key_value = layers.linear(f"{name}.key_value", width, 2 * width, products=positions)
        self.out = layers.linear(f"{name}.out", width, width, products=outputs)
        self.inner = layers.linear(f"{name}.inner", width, width, products=outputs)
        self.outer = layers.linear(
            f"{name}.outer", width, width, products=outputs, after=self.inner
        )
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, states: Tensor, mask: Tensor, *, last: bool = False) -> Tensor:
        """Transforms states (B, L, D) under what is `hidden`, (B, 1, L, L).

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
        scaled = self._split(self.query(queries)) * self._scale
        logits = scaled @ self._split(keys).transpose(2, 3)  # (B, heads, Q, L)
        weights = self._drop(torch.softmax(logits + mask, -1))
        mixed = weights @ self._split(values)  # (B, heads, Q, D / heads)
        return self._drop(self.out(mixed.transpose(1, 2).flatten(2)))

    def _split(self, states: Tensor) -> Tensor:
        """(B, L, D) to (B, heads, L, D / heads)."""
        return states.reshape(*states.shape[:2], self._heads, -1).transpose(1, 2)

    def _feed(self, states: Tensor) -> Tensor:
        return self._drop(self.outer(self._drop(torch.relu(self.inner(states)))))

    def _drop(self, states: Tensor) -> Tensor:
        return dropout(states, self._dropout) if self.training else states
