"""A table whose rows are learned in full before codes stand for them."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.residual_quantisation import quantise_residuals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automl_rec.plugin import Field
    from automl_rec_embeddings.id_transforms.codes import Codes
    from automl_rec_embeddings.row_stores.stored_rows import StoredRows


class SemanticTable(ComposedTable):
    """Sums of one stored row a code; codes are those of rows learned first, or assigned.

    Attributes:
        whole: (N, D) the rows learned first, None once the table is settled.
        learns_whole: bool, whether they are what is read now; None once the table is settled.
    """

    transform: "Codes"
    whole: nn.Parameter | None
    learns_whole: Tensor | None

    def __init__(
        self,
        field: "Field",
        transform: "Codes",
        stores: "Sequence[StoredRows]",
        generator: torch.Generator,
        *,
        unique: bool,
    ) -> None:
        """Draws the stores, random codes and whole rows.

        Args:
            field: whose table it is.
            transform: the codes.
            stores: one a level.
            generator: of the initial values.
            unique: see `quantise_residuals`.
        """
        super().__init__(field, transform, stores, Sum(), SameWidth(field.width), generator)
        self._unique = unique
        self.whole = nn.Parameter(torch.empty(field.num_rows, field.width))
        self.register_buffer("learns_whole", torch.zeros((), dtype=torch.bool))
        if not self.whole.is_meta:
            with torch.no_grad():
                self.whole.normal_(0.0, field.std, generator=generator)

    def learn_whole(self) -> None:
        """Reads whole rows from now on, unless the table is not to be trained."""
        if self.whole is not None and self.learns_whole is not None:
            self.learns_whole.fill_(self.whole.requires_grad)

    def quantise(self) -> None:
        """Reads sums from now on; where whole rows were read, of their centres."""
        if self.whole is not None and self.learns_whole is not None and bool(self.learns_whole):
            self._set(self.whole.detach())
            self.learns_whole.fill_(False)

    def read(self, ids: Tensor) -> Tensor:
        """See `Table.read`."""
        whole = self._whole_now()
        return super().read(ids) if whole is None else whole.index_select(0, ids)

    def rows(self) -> Tensor:
        """See `Table.rows`."""
        whole = self._whole_now()
        return super().rows() if whole is None else whole

    def score(self, x: Tensor) -> Tensor:
        """See `Table.score`."""
        whole = self._whole_now()
        return super().score(x) if whole is None else x @ whole.T

    @torch.no_grad()
    def assign(self, rows: Tensor) -> None:
        """See `Table.assign`: whole rows take them as they are, sums by their centres."""
        if self.whole is not None and self.learns_whole is not None:
            self.whole.copy_(rows)
            self.learns_whole.fill_(False)
        self._set(rows)

    def settle(self) -> None:
        """See `Table.settle`."""
        super().settle()
        self.whole = self.learns_whole = None

    def train(self, mode: bool = True) -> "SemanticTable":  # noqa: FBT001, FBT002 - torch's own
        """Sets the mode, and forgets the slots: codes may have come back from a checkpoint."""
        super().train(mode)
        self._slots = None
        return self

    def _whole_now(self) -> nn.Parameter | None:
        return self.whole if self.learns_whole is not None and bool(self.learns_whole) else None

    def _set(self, rows: Tensor) -> None:
        """Codes and centres of the rows; the sums that are there stay if they are as near."""
        sizes = self.transform.sizes
        found = quantise_residuals(rows, len(sizes) - self._unique, sizes[0], unique=self._unique)
        if (super().rows() - rows).norm() <= (found.vectors() - rows).norm():
            return
        self.transform.codes.copy_(found.codes)
        for store, book in zip(self._stores, found.codebooks, strict=True):
            store.assign(book)
        self._slots = self._rows = None
