"""Rows stored at the width a model expects."""

from torch import Tensor

from automl_rec_embeddings.output_maps.output_map import OutputMap


class SameWidth(OutputMap):
    """Rows are stored at the width a model expects."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stored_width = width

    def forward(self, stored: Tensor) -> Tensor:
        """See `OutputMap.forward`."""
        return stored

    def pull_back(self, x: Tensor) -> Tensor:
        """See `OutputMap.pull_back`."""
        return x

    def fit(self, rows: Tensor) -> Tensor:
        """See `OutputMap.fit`."""
        return rows
