"""A learned projection of narrow rows."""

import torch
from torch import Tensor

from automl_rec.plugin import Use, Weight
from automl_rec_embeddings.output_maps.output_map import OutputMap

CHUNK_ROWS = 65536


class Projection(OutputMap):
    """A bias-free linear map (S, D); compression leaves it alone."""

    def __init__(
        self, name: str, stored_width: int, width: int, use: Use, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.stored_width = stored_width
        self.weight = Weight(name, stored_width, width, "table", use, sensitive=True)
        # Rows then start with the standard deviation of the stored ones.
        self.weight.initialise(stored_width**-0.5, generator)

    def forward(self, stored: Tensor) -> Tensor:
        """See `OutputMap.forward`."""
        return self.weight.matrix.project(stored)

    def pull_back(self, x: Tensor) -> Tensor:
        """See `OutputMap.pull_back`."""
        return self.weight.matrix.multiply(x)

    def fit(self, rows: Tensor) -> Tensor:
        """See `OutputMap.fit`: the truncated SVD, from the Gram matrix (D, D) in float64."""
        gram = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        for chunk in rows.split(CHUNK_ROWS):
            gram += chunk.double().T @ chunk.double()
        directions = torch.linalg.eigh(gram).eigenvectors.flip(1)
        basis = directions[:, : self.stored_width]  # (D, S)
        self.weight.assign(basis.T.to(rows.dtype))
        stored = [chunk.double() @ basis for chunk in rows.split(CHUNK_ROWS)]
        return torch.cat(stored).to(rows.dtype)

    def weights(self) -> tuple[Weight, ...]:
        """See `OutputMap.weights`."""
        return (self.weight,)
