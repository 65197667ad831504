"""Every id reads the slots that its codes name."""

import torch
from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform, smallest_unsigned


class Codes(IdTransform):
    """One stored code an id for each store, drawn at random until they are set."""

    codes: Tensor

    def __init__(self, ids: int, levels: int, size: int, generator: torch.Generator) -> None:
        """Draws the codes.

        Args:
            ids: number of ids N.
            levels: number of stores.
            size: slots of each store.
            generator: of the draw.
        """
        super().__init__()
        self.sizes = (size,) * levels
        self.register_buffer("codes", torch.empty(ids, levels, dtype=smallest_unsigned(size - 1)))
        if not self.codes.is_meta:
            self.codes.copy_(torch.randint(size, (ids, levels), generator=generator))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        return self.codes[ids].long().unbind(-1)

    def levels(self) -> dict[str, int]:
        """See `IdTransform.levels`."""
        return {"codes": self.sizes[0]}
