"""Costs: the bytes and operations of what a model is made of."""

from collections.abc import Mapping

import torch

from automl_rec.plugin import (
    Either,
    Form,
    Grid,
    Interval,
    Model,
    Product,
    RankingModel,
    Sum,
    Table,
    Weight,
)
from automl_rec.plugin.form import index_bits

PRICED_ROWS = 1000
"""Operations and latency of a ranking model are those of so many rows: a list to be ordered."""


def weights_of(model: Model) -> dict[str, Weight]:
    """Every weight of a model, by the name of its module."""
    return {name: part for name, part in model.named_modules() if isinstance(part, Weight)}


def rest_bytes(module: torch.nn.Module) -> int:
    """Bytes of the persistent tensors that no weight holds."""
    held = tuple(
        f"{name}.matrix." for name, part in module.named_modules() if isinstance(part, Weight)
    )
    tensors = module.state_dict()
    return sum(t.nbytes for name, t in tensors.items() if not name.startswith(held))


def packed_rest(model: Model) -> int:
    """Bytes of what no weight holds, its integers at the bits that tell their values apart."""
    tables = [(name, part) for name, part in model.named_modules() if isinstance(part, Table)]
    levels = {f"{name}.{key}": n for name, t in tables for key, n in t.levels().items()}
    tensors = model.state_dict()
    saved: int = sum(
        tensors[name].nbytes - -(-tensors[name].numel() * index_bits(number) // 8)
        for name, number in levels.items()
    )
    return rest_bytes(model) - saved


def table_bytes(model: Model) -> int:
    """Bytes of the persistent tensors of all tables."""
    tables = [part for part in model.modules() if isinstance(part, Table)]
    return sum(t.nbytes for table in tables for t in table.state_dict().values())


def operations_of(
    model: Model, weights: Mapping[str, Weight], forms: Mapping[str, Form]
) -> Interval:
    """Multiply-adds to score one user against all items, or to judge `PRICED_ROWS` rows.

    Args:
        model: with operations of its own and of its tables.
        weights: name -> weight.
        forms: name of a weight -> its form.
    """
    own = model.operations()
    own += sum(part.operations() for part in model.modules() if isinstance(part, Table))
    parts = (_weight_operations(weight, forms[name]) for name, weight in weights.items())
    once = sum(parts, Interval(own, own))
    return once.times(PRICED_ROWS) if isinstance(model, RankingModel) else once


def _weight_operations(weight: Weight, form: Form) -> Interval:
    products = form.product_operations.times(weight.use.products)
    if weight.role != "item-item":
        return products + form.row_operations.times(weight.use.rows)
    return products + _bag_operations(form, weight.use.rows)


def _bag_operations(form: Form, rows: float) -> Interval:
    """Multiply-adds to sum that many rows."""
    if isinstance(form, Either):
        return _bag_operations(form.first, rows).hull(_bag_operations(form.second, rows))
    if isinstance(form, Product):
        return _bag_operations(form.left, rows) + form.right.product_operations
    if isinstance(form, Sum):
        return _bag_operations(form.first, rows) + _bag_operations(form.second, rows)
    if isinstance(form, Grid):
        return form.row_operations.times(rows)
    entries = form.product_operations
    return Interval(
        entries.low / max(form.rows.high, 1) * rows,
        entries.high / max(form.rows.low, 1) * rows,
    )
