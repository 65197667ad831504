"""Several id transforms at once."""

from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from automl_rec_embeddings.id_transforms.id_transform import IdTransform

if TYPE_CHECKING:
    from collections.abc import Sequence


class SideBySide(IdTransform):
    """The slots of one transform, then those of the next."""

    def __init__(self, parts: "Sequence[IdTransform]") -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.sizes = tuple(size for part in parts for size in part.sizes)
        self.complete = all(part.complete for part in parts)

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        parts = cast("list[IdTransform]", list(self.parts))
        return tuple(slots for part in parts for slots in part(ids))
