"""Weights: the named places where a model keeps a matrix, which rank and sparsity may replace."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from automl_rec.plugin.form import Form, Interval, dense_form
from automl_rec.plugin.matrices.corner import cut
from automl_rec.plugin.matrices.keeping import from_scipy
from automl_rec.plugin.matrices.matrix import Matrix
from automl_rec.plugin.matrices.trainable import TrainableMatrix

Role: TypeAlias = Literal["table", "linear", "item-item"]


@dataclass(frozen=True, slots=True)
class Use:
    """How often a weight is read to score one user against all items, or to judge one row.

    Attributes:
        products: matrix-vector products.
        rows: single rows read.
    """

    products: float = 0.0
    rows: float = 0.0


class Weight(nn.Module):
    """One 2-D weight of a model: what it is for, and the matrix it holds now.

    Attributes:
        name: unique in its model, e.g. ``"item.store"``.
        role: ``"table"`` (rows are ids), ``"linear"`` (out, in), or ``"item-item"``.
        matrix: the current layout; compression replaces it.
        zero_diagonal: whether entry (i, i) must act as 0.
        sensitive: whether compression leaves it alone (gates, final logits, projections).
        corner: (rows, columns) of its top left part that is served, zeros standing for the rest;
            the whole unless a scheme says otherwise.
        expected: the form it will have when its table is settled, where that is not a dense one.
        after: name of the linear weight whose outputs are its inputs, each changed on its own alone
            (by an activation, say), while nothing else reads them; None where there is no such.
        limit: largest number of entries a model will ever store here, where the data decide how
            many; None for a dense weight.
    """

    matrix: Matrix

    def __init__(
        self,
        name: str,
        rows: int,
        columns: int,
        role: Role,
        use: Use,
        *,
        zero_diagonal: bool = False,
        sensitive: bool = False,
        after: str | None = None,
        limit: int | None = None,
        expected: Form | None = None,
    ) -> None:
        super().__init__()
        self.name, self.role, self.use = name, role, use
        self.rows, self.columns = rows, columns
        self.zero_diagonal, self.sensitive, self.limit = zero_diagonal, sensitive, limit
        self.after, self.expected, self.corner = after, expected, (rows, columns)
        # A limited weight never exists densely: its model assigns it sparse, once.
        self.matrix = (
            TrainableMatrix(rows, columns)
            if limit is None
            else from_scipy(sp.csr_matrix((rows, columns)))
        )

    @property
    def in_training(self) -> bool:
        """Whether the matrix is one that learns, and not yet a stored one."""
        return any(True for _ in self.matrix.parameters())

    @property
    def trainable(self) -> nn.Parameter:
        """The (rows, columns) parameter under training, where no rank has divided it."""
        assert isinstance(self.matrix, TrainableMatrix), f"{self.name} is no longer under training"
        return self.matrix.weight

    def initialise(self, std: float, generator: torch.Generator) -> None:
        """Draws the values from N(0, std^2)."""
        with torch.no_grad():
            if not self.trainable.is_meta:
                self.trainable.normal_(0.0, std, generator=generator)

    def assign(self, values: Tensor | sp.csr_matrix) -> None:
        """Sets the values: (rows, columns) dense, or sparse where the weight has a limit."""
        if not isinstance(values, Tensor):
            self.matrix = from_scipy(values)
            return
        with torch.no_grad():
            self.matrix.assign(values)

    def price(self) -> Form:
        """What the weight will occupy if nothing compresses it, before the data are known."""
        form = dense_form(*self.corner)
        if self.expected is not None:
            return self.expected
        return form if self.limit is None else form.kept(Interval(0, self.limit))

    def freeze(self) -> None:
        """Turns a matrix under training into a stored one, of its corner alone."""
        self.matrix = cut(self.matrix.stored(), *self.corner)
