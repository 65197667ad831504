"""Every id has a row of its own."""

from torch import Tensor

from automl_rec_embeddings.id_transforms.id_transform import IdTransform


class Identity(IdTransform):
    """Every id has the slot of its own number."""

    def __init__(self, ids: int) -> None:
        super().__init__()
        self.sizes = (ids,)

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """See `IdTransform.forward`."""
        return (ids,)
