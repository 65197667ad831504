"""Ids share a row by a label that is stored for each."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform, smallest_unsigned

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Labels(IdTransform):
    """Every id has the slot of its label."""

    remap: Tensor

    def __init__(
        self, ids: int, slots: int, labels: "npt.NDArray[np.unsignedinteger] | None"
    ) -> None:
        """Stores the labels.

        Args:
            ids: number of ids N.
            slots: number of different labels.
            labels: (N,) from 0; not needed on the meta device.
        """
        super().__init__()
        self.sizes = (slots,)
        self.register_buffer("remap", torch.empty(ids, dtype=smallest_unsigned(slots - 1)))
        if not self.remap.is_meta:
            assert labels is not None, "labels are known wherever a table is not blank"
            self.remap.copy_(torch.from_numpy(labels.astype("int64")))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        return (self.remap[ids].long(),)

    def levels(self) -> dict[str, int]:
        """See `IdTransform.levels`."""
        return {"remap": self.sizes[0]}
