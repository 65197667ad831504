"""Rows whose first columns serve alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from automl_rec.plugin import (
    Catalog,
    Field,
    Infeasible,
    Layers,
    Loss,
    Model,
    Phase,
    Table,
    TrainableMatrix,
    Weight,
    dense_bytes,
)
from automl_rec_embeddings.codecs import CodedEmbedding
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable, use_of
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.prefix_rows import PrefixRows
from automl_rec_embeddings.sizing import LEAST_USE, full_bytes

if TYPE_CHECKING:
    from automl_rec.plugin import Precision


class Matryoshka(CodedEmbedding):
    """Full rows, trained so that a model is good with any of several prefixes of them.

    Level k keeps the first half of the columns, k times over: of width 64, levels 0 to 3 keep 64,
    32, 16 and 8; odd widths are rounded up, and a width of 1 is not halved. All tables of a model
    are at the same level, small ones too: a product of rows is as long as the shorter of them.

    Each step computes the model's loss once a level, with zeros in the columns a level does not
    keep, and follows the mean of these losses: the weights c_s of the sum are all 1, divided by
    their number, so that a learning rate keeps its meaning. One level is served: the one asked for,
    or the first whose tables keep the budget. Its columns alone are stored.

    What is served equals what was trained at its level, in every model. Where scores are products
    of rows (bpr-mf, mf, lightgcn) it is also a model of the smaller width; elsewhere the model
    reads rows filled up with zeros, and normalises states over all columns (sasrec). ``nested``
    makes the linear weights of a model that `Model.nests` block lower triangular and stores their
    corners, so that its states shrink as well. Biases stay whole.

    Rows given by a closed form keep their first columns.

    Source: Kusupati et al., NeurIPS 2022 (MRL-E, equation 1, with the item table as the head); the
    nested form after fMRLRec (Wang et al., EMNLP Findings 2024). A random middle size a step is
    after sandwich training (Yu and Huang, ICCV 2019), which draws two.
    """

    def __init__(
        self,
        levels: int,
        nested: bool,  # noqa: FBT001 - a hyperparameter
        precision: "Precision",
        sized_by: str,
        sizes_a_step: Literal["all", "sandwich"] = "all",
        budget: float | None = None,
        level: int | None = None,
    ) -> None:
        super().__init__(precision)
        self.levels, self.nested, self.sizes_a_step = levels, nested, sizes_a_step
        self.budget, self.level = budget, level
        self._served, self._smallest = 0, 0
        self._stores: list[PrefixRows] = []

    @property
    def after_training(self) -> frozenset[str]:
        """See `Embedding.after_training`; the level is served in validation too."""
        return frozenset() if self.level is None else frozenset({"precision"})

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """See `Embedding.plan`: the level that is served, and the last that is trained."""
        width = max(field.width for field in fields.values())
        smallest = min(self.levels, (width - 1).bit_length())  # halved so often, it is 1
        served = self._within(fields, smallest) if self.level is None else self.level
        if served > smallest:
            raise Infeasible(
                f"Level {served} of matryoshka halves a width of {width} more often than the "
                f"{smallest} times it is trained for. Lower the level, or raise levels."
            )
        return {"served": served, "smallest": smallest}

    def adopt(self, plan: Mapping[str, Any]) -> None:
        """See `Embedding.adopt`."""
        self._served, self._smallest = int(plan["served"]), int(plan["smallest"])
        self._stores = []

    def table(self, field: Field, generator: torch.Generator) -> Table:
        """See `Embedding.table`."""
        combination, rows = Sum(), field.num_rows
        store = PrefixRows(
            f"{field.name}.store",
            rows,
            field.width,
            columns_at(field.width, self._served),
            use_of(field, rows, combination),
            draws=self.sizes_a_step == "sandwich" and not self._stores,
        )
        self._stores.append(store)
        output = SameWidth(field.width)
        return ComposedTable(field, Identity(rows), [store], combination, output, generator)

    def join(self, model: Model, layers: Layers) -> None:
        """See `Embedding.join`; nothing unless nested."""
        if not self.nested:
            return
        linears = [weight for weight in layers.weights.values() if weight.role == "linear"]
        self._refuse(model, layers, linears)
        for weight in linears:
            width, kept = weight.columns, columns_at(weight.columns, self._served)
            widths = {columns_at(width, level) for level in range(self._smallest + 1)}
            assert isinstance(weight.matrix, TrainableMatrix), "a linear weight is trained"
            weight.matrix.mask = block_triangle(width, widths)
            weight.corner = (kept, kept)

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        self._stores[0].seed(generator)

    def loss(self, own: Loss) -> Tensor:
        """See `LifeCycle.loss`: the mean over levels."""
        for store in self._stores:
            store.remember()
        losses = torch.stack([self._loss_at(level, own) for level in self._levels()])
        for store in self._stores:
            store.forget()
        return losses.mean()

    def _levels(self) -> list[int]:
        """The levels of a step: every one, or the first, the last and one between them."""
        last = self._smallest
        if self.sizes_a_step == "all" or last < 2:
            return list(range(last + 1))
        return [0, 1 + self._stores[0].draw(last - 1), last]

    def _loss_at(self, level: int, own: Loss) -> Tensor:
        for store in self._stores:
            store.prefix = columns_at(store.width, level)
        return own()

    def _within(self, fields: Mapping[str, Field], smallest: int) -> int:
        """The first level whose tables keep the budget."""
        assert self.budget is not None, "it is sized by a budget or its level"
        limit = int(self.budget * sum(map(full_bytes, fields.values())))
        needed = [self._bytes(fields, level) for level in range(smallest + 1)]
        if needed[-1] > limit:
            raise Infeasible(
                f"A budget of {self.budget:g} is {limit:,} bytes, but the smallest prefix that "
                f"matryoshka trains needs {needed[-1]:,}. Raise the budget or levels."
            )
        if needed[0] < LEAST_USE * limit:
            raise Infeasible(
                f"A budget of {self.budget:g} is more than twice what this embedding can use on "
                f"these tables. Lower the budget, or choose another embedding."
            )
        return next(level for level, size in enumerate(needed) if size <= limit)

    def _bytes(self, fields: Mapping[str, Field], level: int) -> int:
        return sum(
            dense_bytes(field.num_rows, columns_at(field.width, level), self.precision)
            for field in fields.values()
        )

    def _refuse(self, model: Model, layers: Layers, linears: list[Weight]) -> None:
        if not model.nests:
            raise Infeasible(
                "Nested matryoshka needs a model whose first columns are a model of their own, "
                "which this one does not say it is. Set nested to false, or choose another model."
            )
        widths = {field.width for field in layers.fields.values()}
        for weight in linears:
            if {weight.rows, weight.columns} != widths:
                raise Infeasible(
                    f"Nested matryoshka needs linear weights that map the tables' width to itself, "
                    f"{sorted(widths)}, but {weight.name} is {weight.rows} x {weight.columns}. "
                    f"Choose equal widths, or set nested to false."
                )
        if linears and layers.compressed:
            raise Infeasible(
                "Nested matryoshka masks linear weights while they train, and the rank or sparsity "
                "would act on them too. Compress after training, or set nested to false."
            )


def columns_at(width: int, level: int) -> int:
    """Columns that a level keeps: half of them, so many times over, rounded up."""
    return -(-width >> level)


def block_triangle(width: int, prefixes: set[int]) -> Tensor:
    """(D, D) 1 where an output may read an input: those of a prefix read that prefix alone."""
    mask = torch.ones(width, width)
    for prefix in prefixes:
        mask[:prefix, prefix:] = 0.0
    return mask
