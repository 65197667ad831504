"""One narrow row a slot, projected."""

import torch
from torch import Tensor

from automl_rec.plugin import Use, Weight
from automl_rec_embeddings.output_maps.projection import Projection
from automl_rec_embeddings.row_stores.row_store import RowStore
from automl_rec_embeddings.row_stores.stored_rows import StoredRows


class ProjectedRows(RowStore):
    """One narrow row a slot, and a projection of the store's own to the width of all stores.

    Source: Ginart et al., 2019 (mixed-dimension embeddings).
    """

    exact = False

    def __init__(
        self,
        name: str,
        size: int,
        stored_width: int,
        width: int,
        use: Use,
        generator: torch.Generator,
    ) -> None:
        super().__init__(size, width)
        self.narrow = StoredRows(name, size, stored_width, use)
        projected = Use(products=use.products + use.rows)
        self.projection = Projection(
            f"{name}.projection", stored_width, width, projected, generator
        )

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`."""
        rows: Tensor = self.projection(self.narrow.read(slots))
        return rows

    def rows(self) -> Tensor:
        """See `RowStore.rows`."""
        rows: Tensor = self.projection(self.narrow.rows())
        return rows

    def score(self, x: Tensor) -> Tensor:
        """See `RowStore.score`."""
        return self.narrow.score(self.projection.pull_back(x))

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`."""
        assert not mean, "projected rows start around 0"
        self.narrow.initialise(0.0, std, generator)

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`: the truncated SVD."""
        self.narrow.assign(self.projection.fit(rows))

    def weights(self) -> tuple[Weight, ...]:
        """See `RowStore.weights`."""
        return self.narrow.weights() + self.projection.weights()
