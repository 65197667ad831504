"""Prices: what a configuration will take, from shapes alone."""

import math
from dataclasses import dataclass

import torch

from automl_rec.builder import Built, build, settle
from automl_rec.costs import operations_of, packed_rest, rest_bytes
from automl_rec.plugin import (
    Catalog,
    Form,
    Interval,
    TrainedModel,
)
from automl_rec.plugin.form import ZERO
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration

LEARNT_COPIES = 4
"""Numbers that training keeps of one it learns: itself, its gradient and Adam's two moments."""
OWNED_COPIES = 2
"""Numbers it keeps of one that a component steps by itself: no moments."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a configuration will cost to serve, known before training.

    Attributes:
        bytes: native bytes of the artefact's tensors.
        bytes_tables: those of tables.
        bytes_dense: all others.
        operations: multiply-adds to score one user against all items, or to judge `PRICED_ROWS`
            rows.
        bytes_packed: bytes if codes and places took the bits they need.
        bytes_training: what training holds, see `training_bytes`.
    """

    bytes: Interval
    bytes_tables: Interval
    bytes_dense: Interval
    operations: Interval
    bytes_packed: Interval
    bytes_training: Interval

    @property
    def bytes_resident(self) -> Interval:
        """Bytes in memory while serving: the tensors at least, and what is made of them."""
        return Interval(self.bytes.low, math.inf)


def price(configuration: Configuration, catalog: Catalog, registry: Registry) -> Price:
    """Bytes and operations of a configuration, from shapes; no weight is allocated.

    Raises:
        Infeasible: the configuration's parts cannot stand together.
    """
    with torch.device("meta"):
        built = build(configuration, catalog, registry, seed=0)
        training = _training_price(built)
        settle(built)
    forms = _final_forms(built)
    weights = built.layers.weights
    rest = rest_bytes(built.model)
    table_rest = sum(rest_bytes(table) for table in built.layers.tables.values())
    tables = sum((forms[name].bytes for name in forms if weights[name].role == "table"), ZERO)
    dense = sum((forms[name].bytes for name in forms if weights[name].role != "table"), ZERO)
    tables += Interval(table_rest, table_rest)
    dense += Interval(rest - table_rest, rest - table_rest)
    operations = operations_of(built.model, weights, forms)
    rest_packed = packed_rest(built.model)
    packed = sum((form.packed_bytes for form in forms.values()), Interval(rest_packed, rest_packed))
    return Price(tables + dense, tables, dense, operations, packed, training)


def training_bytes(built: Built) -> int:
    """Bytes of the numbers that training holds.

    Parameters, their gradients, Adam's moments, and buffers, masks among them. Not counted:
    batches, what a step computes, the copy of the best weights.
    """
    owned = {id(part) for cycle in built.cycles for part in cycle.owned()}
    learnt = isinstance(built.model, TrainedModel)
    held: int = sum(
        part.nbytes * _copies(part, learnt=learnt, owned=id(part) in owned)
        for part in built.model.parameters()
    )
    return held + sum(buffer.nbytes for buffer in built.model.buffers())


def _final_forms(built: Built) -> dict[str, Form]:
    """The form of every weight as `finalize` will leave it."""
    forms = {name: weight.price() for name, weight in built.layers.weights.items()}
    if built.rank is not None:
        forms |= built.rank.price({name: forms[name] for name in built.low_rank})
    if built.sparsity is not None:
        forms |= built.sparsity.price({name: forms[name] for name in built.prunable})
    if built.embedding is not None:
        for table in built.layers.tables.values():
            for weight in table.weights():
                forms[weight.name] = built.embedding.price(forms[weight.name])
    return forms


def _copies(parameter: torch.nn.Parameter, *, learnt: bool, owned: bool) -> int:
    if not learnt or not parameter.requires_grad:
        return 1
    return OWNED_COPIES if owned else LEARNT_COPIES


def _training_price(built: Built) -> Interval:
    """What training will hold; a weight that the data make sparse is empty so far."""
    limited = [weight for weight in built.layers.weights.values() if weight.limit is not None]
    held = training_bytes(built) - sum(weight.matrix.form().bytes.low for weight in limited)
    return sum((weight.price().bytes for weight in limited), Interval(held, held))
