"""From a configuration to a model: tables, then weights, then masks; and to what is served."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from automl_rec.errors import ExportError, Infeasible
from automl_rec.plugin import (
    Catalog,
    Either,
    Embedding,
    Form,
    Interval,
    Kind,
    Layers,
    Leaf,
    Matrix,
    Model,
    Product,
    Rank,
    RankingModel,
    Requests,
    RetrievalModel,
    Rows,
    Sparsity,
    Table,
    TrainableMatrix,
    TrainedModel,
    Value,
    Weight,
)
from automl_rec.plugin.form import ZERO, index_bits
from automl_rec.plugin.matrices.describing import blank, describe
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration

NO_PLAN: Mapping[str, Any] = MappingProxyType({})
PRICED_ROWS = 1000
"""Operations and latency of a ranking model are those of so many rows: a list to be ordered."""
LEARNT_COPIES = 4
"""Numbers that training keeps of one it learns: itself, its gradient and Adam's two moments."""
DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a structure that nobody wrote down so may raise where it is read."""
OWNED_COPIES = 2
"""Numbers it keeps of one that an embedding steps by itself: no moments."""


@dataclass(frozen=True, slots=True)
class Built:
    """A model ready to train, with the compressions that will act on it.

    Attributes:
        training: the values of the training loop's hyperparameters; empty for closed forms.
        plan: what the embedding decided over all tables.
    """

    configuration: Configuration
    model: Model
    layers: Layers
    training: Mapping[str, Value]
    embedding: Embedding | None
    rank: Rank | None
    sparsity: Sparsity | None
    plan: Mapping[str, Any]

    @property
    def low_rank(self) -> dict[str, Weight]:
        """The weights a rank may factorise: those of `prunable` that are not sparse by nature."""
        return {name: w for name, w in self.prunable.items() if w.limit is None}

    @property
    def prunable(self) -> dict[str, Weight]:
        """The weights a sparsity may prune: single float32 matrices that are not sensitive."""
        weights = self.layers.weights.items()
        return {name: w for name, w in weights if not w.sensitive and _is_plain(w)}


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


class Served:
    """A finished model: every weight in its stored layout, nothing under training.

    Only this type is timed and exported, so that a mask or a shadow weight of training can never
    be mistaken for what a service would run.
    """

    def __init__(self, model: Model, plan: Mapping[str, Any] = NO_PLAN) -> None:
        training = [
            name for name, part in model.named_modules() if isinstance(part, TrainableMatrix)
        ]
        if training:
            raise TypeError(f"a served model must hold no trainable matrix, got {training}")
        self._plan = plan
        self.model = model.requires_grad_(False).eval()
        with torch.no_grad():
            self.model.prepare()

    def scores(self, requests: Requests) -> Tensor:
        """How well every item suits every request: (B, I) float32."""
        assert isinstance(self.model, RetrievalModel), "only a retrieval model scores items"
        with torch.no_grad():
            return self.model.scores(requests)

    def shortlist(self, k: int) -> int:
        """How many of the best items `choose` wants to see for a list of k."""
        assert isinstance(self.model, RetrievalModel), "only a retrieval model makes lists"
        return self.model.shortlist(k)

    def choose(self, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """The lists shown, (B, k) int64, from the best items (B, C) and their scores."""
        assert isinstance(self.model, RetrievalModel), "only a retrieval model makes lists"
        with torch.no_grad():
            return self.model.choose(items, scores, k)

    def logits(self, rows: Rows) -> Tensor:
        """The log-odds that each row's label is 1: (B,) float32."""
        assert isinstance(self.model, RankingModel), "only a ranking model judges rows"
        with torch.no_grad():
            return self.model.logits(rows)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the artefact by name; their bytes are its bytes."""
        return {name: t.contiguous() for name, t in self.model.state_dict().items()}

    def structure(self) -> dict[str, Any]:
        """The embedding's plan and the layout of every weight by name, as plain data."""
        weights = _weights(self.model).items()
        layouts = {name: describe(weight.matrix) for name, weight in weights}
        return {"plan": dict(self._plan), "layouts": layouts}

    @property
    def operations(self) -> Interval:
        """Multiply-adds to score one user against all items, or to judge `PRICED_ROWS` rows."""
        weights = _weights(self.model).values()
        forms = {weight.name: weight.matrix.form() for weight in weights}
        return _operations(self.model, {w.name: w for w in weights}, forms)

    @property
    def bytes(self) -> int:
        """Native bytes of the tensors."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    @property
    def bytes_tables(self) -> int:
        """Native bytes of the tables: their weights, remaps and coefficients."""
        return _table_bytes(self.model)

    @property
    def bytes_packed(self) -> float:
        """Bytes if codes and places took the bits they need."""
        forms = (weight.matrix.form() for weight in _weights(self.model).values())
        return sum((form.packed_bytes for form in forms), ZERO).high + _packed_rest(self.model)


def build(
    configuration: Configuration,
    catalog: Catalog,
    registry: Registry,
    *,
    seed: int,
    plan: Mapping[str, Any] | None = None,
) -> Built:
    """A model with its tables and weights initialised from a seed.

    Args:
        configuration: what to build.
        catalog: the train part.
        registry: the installed components.
        seed: of every initial value.
        plan: the embedding's, from an artefact; None where it has yet to decide.

    Raises:
        Infeasible: the configuration's parts cannot stand together.
        PluginError: a component is not installed or cannot be loaded.
    """
    component = registry.component("model", configuration.model.name)
    values = configuration.model.hyperparameters
    embedding = _scheme("embedding", configuration, registry)
    rank = _scheme("rank", configuration, registry)
    sparsity = _scheme("sparsity", configuration, registry)
    model_class = component.load()
    _refuse_conflicts(configuration, registry, model_class, sparsity)
    own = {name: values[name] for name in component.hyperparameters if name in values}
    if plan is None:
        plan = _planned(configuration, embedding, model_class, own, catalog)
    if embedding is not None:
        embedding.adopt(plan)
    layers = Layers(
        catalog,
        torch.Generator().manual_seed(seed),
        embedding,
        masked=sparsity is not None and sparsity.masks_in_training,
    )
    model: Model = model_class(catalog, layers, **own)
    if embedding is not None:
        embedding.join(model, layers)
    training = {name: values[name] for name in component.training if name in values}
    built = Built(configuration, model, layers, training, embedding, rank, sparsity, plan)
    _refuse_idle(built, registry)
    return built


def finalize(built: Built) -> Served:
    """The trained model as it is served: settled, then low-rank, then sparse, then encoded."""
    built.model.eval()  # tables may serve other rows than they train
    with torch.no_grad():
        built.model.finish()
        for weight in built.layers.weights.values():
            weight.freeze()
        _settle(built)
        if built.rank is not None:
            built.rank.compress(built.low_rank)
        if built.sparsity is not None:
            built.sparsity.compress(built.prunable)
        if built.embedding is not None:
            for table in built.layers.tables.values():
                built.embedding.encode(table)
    return Served(built.model, built.plan)


def restore(
    configuration: Configuration,
    catalog: Catalog,
    registry: Registry,
    structure: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Served:
    """The served model that gave this structure and these tensors.

    Raises:
        ExportError: they do not fit the configuration.
    """
    try:
        return _restored(configuration, catalog, registry, structure, tensors)
    except DAMAGE as error:
        reason = (str(error).splitlines() or [""])[-1].strip()
        raise ExportError(
            f"The structure and the tensors do not fit the configuration {configuration.digest}: "
            f"{reason or type(error).__name__}. "
            f"Export the configuration again with the plugins installed now."
        ) from error


def price(configuration: Configuration, catalog: Catalog, registry: Registry) -> Price:
    """Bytes and operations of a configuration, from shapes; no weight is allocated.

    Raises:
        Infeasible: the configuration's parts cannot stand together.
    """
    with torch.device("meta"):
        built = build(configuration, catalog, registry, seed=0)
        training = _training_price(built)
        _settle(built)
    forms = _final_forms(built)
    weights = built.layers.weights
    rest = _rest_bytes(built.model)
    table_rest = sum(_rest_bytes(table) for table in built.layers.tables.values())
    tables = sum((forms[name].bytes for name in forms if weights[name].role == "table"), ZERO)
    dense = sum((forms[name].bytes for name in forms if weights[name].role != "table"), ZERO)
    tables += Interval(table_rest, table_rest)
    dense += Interval(rest - table_rest, rest - table_rest)
    operations = _operations(built.model, weights, forms)
    rest_packed = _packed_rest(built.model)
    packed = sum((form.packed_bytes for form in forms.values()), Interval(rest_packed, rest_packed))
    return Price(tables + dense, tables, dense, operations, packed, training)


def training_bytes(built: Built) -> int:
    """Bytes of the numbers that training holds.

    Parameters, their gradients, Adam's moments, buffers, and masks where a sparsity sets them. Not
    counted: batches, what a step computes, the copy of the best weights.
    """
    owned = {id(part) for part in built.embedding.owned()} if built.embedding else set()
    learnt = isinstance(built.model, TrainedModel)
    held: int = sum(
        part.nbytes * _copies(part, learnt=learnt, owned=id(part) in owned)
        for part in built.model.parameters()
    )
    held += sum(buffer.nbytes for buffer in built.model.buffers())
    if built.sparsity is None or not built.sparsity.masks_in_training:
        return held
    matrices = (weight.matrix for weight in built.prunable.values())
    unmasked = [m for m in matrices if isinstance(m, TrainableMatrix) and m.mask is None]
    return held + sum(matrix.weight.nbytes for matrix in unmasked)


def _scheme(kind: Kind, configuration: Configuration, registry: Registry) -> Any:
    chosen = configuration.chosen(kind)
    if chosen is None:
        return None
    return registry.component(kind, chosen.name).load()(**chosen.hyperparameters)


def _planned(
    configuration: Configuration,
    embedding: Embedding | None,
    model: type,
    own: Mapping[str, Value],
    catalog: Catalog,
) -> Mapping[str, Any]:
    """What an embedding decides over all tables; a model is built without values to see them."""
    if embedding is None or type(embedding).plan is Embedding.plan:
        return {}
    with torch.device("meta"):
        layers = Layers(catalog, torch.Generator())
        model(catalog, layers, **own)
    if not layers.fields:
        raise _idle(configuration, "embedding")
    return embedding.plan(layers.fields, catalog)


def _restored(
    configuration: Configuration,
    catalog: Catalog,
    registry: Registry,
    structure: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Served:
    plan, layouts = structure["plan"], structure["layouts"]
    with torch.device("meta"):
        built = build(configuration, catalog, registry, seed=0, plan=plan)
        _settle(built)
    weights = _weights(built.model)
    if set(weights) != set(layouts):
        raise ExportError(
            f"The layouts must describe the weights {sorted(weights)}, got {sorted(layouts)}. "
            f"Export the configuration again with the plugins installed now."
        )
    for name, weight in weights.items():
        weight.matrix = _blank_for(weight, layouts[name])
    _require_types(built.model, tensors)
    built.model.load_state_dict(dict(tensors), strict=True, assign=True)
    return Served(built.model, plan)


def _blank_for(weight: Weight, layout: dict[str, Any]) -> Matrix:
    matrix = blank(layout)
    wanted, got = (weight.rows, weight.columns), (matrix.rows, matrix.columns)
    if weight.expected is None and wanted != got:  # settling may make it another
        raise ValueError(f"{weight.name} has shape {wanted}, its layout {got}")
    return matrix


def _require_types(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Refuses tensors of other types than the model's, which assigning would let pass."""
    for name, wanted in model.state_dict().items():
        if name in tensors and tensors[name].dtype != wanted.dtype:
            raise ValueError(f"{name} must be {wanted.dtype}, got {tensors[name].dtype}")


def _settle(built: Built) -> None:
    for table in built.layers.tables.values():
        table.settle()


def _refuse_conflicts(
    configuration: Configuration, registry: Registry, model: type, sparsity: Sparsity | None
) -> None:
    if sparsity is None or not sparsity.masks_in_training:
        return
    name = configuration.chosen("sparsity")
    assert name is not None
    if not issubclass(model, TrainedModel):
        raise Infeasible(
            f"{name.name} masks weights while they train, but {configuration.model.name} is "
            f"solved in closed form. Prune it after training."
        )
    rank = configuration.rank
    if rank is not None and not registry.component("rank", rank.name).neutral:
        raise Infeasible(
            f"{name.name} masks weights while they train, but {rank.name} would fill them again. "
            f"Prune after training, or leave the rank full."
        )


def _refuse_idle(built: Built, registry: Registry) -> None:
    """Refuses a compression that has nothing to act on: the same would be trained twice."""
    acted_on: dict[Kind, Mapping[str, Weight | Table]] = {
        "embedding": built.layers.tables,
        "rank": built.low_rank,
        "sparsity": built.prunable,
    }
    for kind, parts in acted_on.items():
        chosen = built.configuration.chosen(kind)
        if chosen and not parts and not registry.component(kind, chosen.name).neutral:
            raise _idle(built.configuration, kind)


def _idle(configuration: Configuration, kind: Kind) -> Infeasible:
    chosen, embedding = configuration.chosen(kind), configuration.embedding
    assert chosen is not None, "what is not chosen cannot be idle"
    beside = f" with embedding {embedding.name}" if embedding and kind != "embedding" else ""
    return Infeasible(
        f"{kind} {chosen.name} finds nothing to act on: {configuration.model.name}{beside} has no "
        f"{'table' if kind == 'embedding' else 'weight'} that it may change. Leave {kind} out, or "
        f"choose another {'embedding' if beside else 'model'}."
    )


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


def _is_plain(weight: Weight) -> bool:
    """Whether it is no integers, codes or blocks, whose values no rank and no sparsity knows."""
    form = weight.price()
    return isinstance(form, Leaf) and form.precision == "fp32"


def _copies(parameter: torch.nn.Parameter, *, learnt: bool, owned: bool) -> int:
    if not learnt or not parameter.requires_grad:
        return 1
    return OWNED_COPIES if owned else LEARNT_COPIES


def _training_price(built: Built) -> Interval:
    """What training will hold; a weight that the data make sparse is empty so far."""
    limited = [weight for weight in built.layers.weights.values() if weight.limit is not None]
    held = training_bytes(built) - sum(weight.matrix.form().bytes.low for weight in limited)
    return sum((weight.price().bytes for weight in limited), Interval(held, held))


def _weights(model: Model) -> dict[str, Weight]:
    return {name: part for name, part in model.named_modules() if isinstance(part, Weight)}


def _rest_bytes(module: torch.nn.Module) -> int:
    """Bytes of the persistent tensors that no weight holds."""
    held = tuple(
        f"{name}.matrix." for name, part in module.named_modules() if isinstance(part, Weight)
    )
    tensors = module.state_dict()
    return sum(t.nbytes for name, t in tensors.items() if not name.startswith(held))


def _packed_rest(model: Model) -> int:
    """Bytes of what no weight holds, its integers at the bits that tell their values apart."""
    tables = [(name, part) for name, part in model.named_modules() if isinstance(part, Table)]
    levels = {f"{name}.{key}": n for name, t in tables for key, n in t.levels().items()}
    tensors = model.state_dict()
    saved: int = sum(
        tensors[name].nbytes - -(-tensors[name].numel() * index_bits(number) // 8)
        for name, number in levels.items()
    )
    return _rest_bytes(model) - saved


def _table_bytes(model: Model) -> int:
    tables = [part for part in model.modules() if isinstance(part, Table)]
    return sum(t.nbytes for table in tables for t in table.state_dict().values())


def _operations(model: Model, weights: Mapping[str, Weight], forms: Mapping[str, Form]) -> Interval:
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
    entries = form.product_operations
    return Interval(
        entries.low / max(form.rows.high, 1) * rows,
        entries.high / max(form.rows.low, 1) * rows,
    )
