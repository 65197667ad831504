"""Tables: rows of width D for ids, whatever they are stored as."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from automl_rec.plugin.weight import Use, Weight

if TYPE_CHECKING:
    from automl_rec.plugin.catalog import IntArray


@dataclass(frozen=True, slots=True)
class Field:
    """What a model asks of a table, as an embedding sees it.

    Attributes:
        name: the table's name in its model, e.g. ``"item"``.
        num_rows: number of ids N.
        width: columns D the model expects.
        std: standard deviation of the rows at the start.
        counts: (N,) int64 train counts of the ids, or None where nothing counts them.
        lookups: rows read to score one user, or to judge one row.
        scored: whether scoring one user multiplies all rows with a vector.
        ids: whose rows they are, in the words of `Catalog.counts`; empty where nothing counts them.
    """

    name: str
    num_rows: int
    width: int
    std: float = 0.1
    counts: "IntArray | None" = None
    lookups: float = 1.0
    scored: bool = False
    ids: str = ""


class Table(nn.Module, ABC):
    """Rows (N, D) for ids 0..N-1; a negative id (`PADDING`) reads zeros and learns nothing.

    Attributes:
        num_rows: number of ids N.
        width: columns D.
        exact: whether `assign` can store any rows exactly. A model that propagates its tables
            (LightGCN) then ships the propagated rows, else the stored ones with what it needs to
            propagate them.
    """

    exact: bool = False

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.num_rows, self.width = field.num_rows, field.width

    @abstractmethod
    def read(self, ids: Tensor) -> Tensor:
        """Rows of ids (B,) int64, all in 0..N-1: (B, D) float32."""

    @abstractmethod
    def assign(self, rows: Tensor) -> None:
        """Stores the nearest table to rows (N, D) that the scheme can hold."""

    @abstractmethod
    def weights(self) -> tuple[Weight, ...]:
        """Every weight of the table, those that compression must leave alone included."""

    def settle(self) -> None:
        """Turns a trained table into what is stored, before rank and sparsity act on its weights.

        Called without gradient when every weight is frozen: drops what only training needs, and
        makes each weight's matrix what `Weight.price` said. Called on the meta device too, before
        tensors come back from an artefact; there only shapes are changed.
        """

    def levels(self) -> dict[str, int]:
        """How many values the integers of a tensor may have, by its name in the table's state.

        `bytes_packed` counts such a tensor (a remap, codes) at the bits that tell them apart; one
        that is not named, at its own type.
        """
        return {}

    def operations(self) -> float:
        """Multiply-adds to score one user, or to judge one row, beside those of its weights."""
        return 0.0

    def lookup(self, ids: Tensor) -> Tensor:
        """Rows of ids (...,) int64: (..., D) float32, zeros for negative ids."""
        flat = ids.reshape(-1)
        rows = self.read(flat.clamp(min=0))
        if bool((flat < 0).any()):
            rows = rows * (flat >= 0).to(rows.dtype)[:, None]
        return rows.reshape(*ids.shape, self.width)

    def rows(self) -> Tensor:
        """All rows: (N, D) float32, differentiable."""
        return self.read(torch.arange(self.num_rows))

    def score(self, x: Tensor) -> Tensor:
        """``x @ rows.T`` for x (..., D): (..., N) float32."""
        return x @ self.rows().T


class PlainTable(Table):
    """One stored row an id."""

    exact = True

    def __init__(self, field: Field, generator: torch.Generator) -> None:
        super().__init__(field)
        use = Use(products=float(field.scored), rows=field.lookups)
        self.store = Weight(f"{field.name}.store", field.num_rows, field.width, "table", use)
        self.store.initialise(field.std, generator)

    def read(self, ids: Tensor) -> Tensor:
        """See `Table.read`."""
        return self.store.matrix.gather(ids)

    def rows(self) -> Tensor:
        """See `Table.rows`."""
        return self.store.matrix.effective()

    def score(self, x: Tensor) -> Tensor:
        """See `Table.score`."""
        return self.store.matrix.multiply(x)

    def assign(self, rows: Tensor) -> None:
        """See `Table.assign`; exact."""
        self.store.assign(rows)

    def weights(self) -> tuple[Weight, ...]:
        """See `Table.weights`."""
        return (self.store,)
