"""From a configuration to a model: tables, then weights, then masks; and to what is served."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from automl_rec.calibration import answer
from automl_rec.costs import weights_of
from automl_rec.errors import DAMAGE, ExportError, Infeasible, reason_of
from automl_rec.plugin import (
    Catalog,
    Embedding,
    Kind,
    Layers,
    Leaf,
    LifeCycle,
    Linear,
    Matrix,
    Model,
    Rank,
    Sparsity,
    Table,
    TrainedModel,
    Value,
    Weight,
)
from automl_rec.plugin.matrices.describing import blank
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Configuration


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
    def cycles(self) -> tuple[LifeCycle, ...]:
        """What acts while the model trains, in the order in which it is called."""
        compressions = [part for part in (self.rank, self.sparsity) if part is not None]
        acting = [part for part in compressions if part.acts_in_training]
        return (self.embedding, *acting) if self.embedding is not None else tuple(acting)

    @property
    def low_rank(self) -> dict[str, Weight]:
        """The weights a rank may factorise: those of `prunable` that are not sparse by nature."""
        return {name: w for name, w in self.prunable.items() if w.limit is None}

    @property
    def prunable(self) -> dict[str, Weight]:
        """The weights a sparsity may prune: single float32 matrices that are not sensitive."""
        weights = self.layers.weights.items()
        return {name: w for name, w in weights if not w.sensitive and _is_plain(w)}


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
    embedding = scheme("embedding", configuration, registry)
    rank = scheme("rank", configuration, registry)
    sparsity = scheme("sparsity", configuration, registry)
    model_class = component.load()
    _refuse_conflicts(configuration, registry, model_class, rank, sparsity)
    own = {name: values[name] for name in component.hyperparameters if name in values}
    if plan is None:
        plan = _planned(configuration, embedding, model_class, own, catalog)
    if embedding is not None:
        embedding.adopt(plan)
    layers = Layers(
        catalog,
        torch.Generator().manual_seed(seed),
        embedding,
        compressed=any(part.acts_in_training for _, part in _by_kind(rank, sparsity)),
    )
    model: Model = model_class(catalog, layers, **own)
    if embedding is not None:
        embedding.join(model, layers)
    training = {name: values[name] for name in component.training if name in values}
    built = Built(configuration, model, layers, training, embedding, rank, sparsity, plan)
    _refuse_idle(built, registry)
    for kind, part in _by_kind(rank, sparsity):
        if part.acts_in_training:
            part.join(built.low_rank if kind == "rank" else built.prunable)
    return built


def finalize(built: Built) -> Served:
    """The trained model as it is served: settled, then low-rank, then sparse, then encoded."""
    built.model.eval()  # tables may serve other rows than they train
    with torch.no_grad():
        built.model.finish()
        for weight in built.layers.weights.values():
            weight.freeze()
        settle(built)
        answered = partial(answer, built.model, built.layers.catalog)
        if built.rank is not None:
            built.rank.calibrate(built.low_rank, _biases(built.model), answered)
            built.rank.compress(built.low_rank)
        if built.sparsity is not None:
            built.sparsity.calibrate(built.prunable, answered)
            built.sparsity.compress(built.prunable)
        if built.embedding is not None:
            for table in built.layers.tables.values():
                built.embedding.encode(table)
    return Served(built.model, built.plan)


def scheme(kind: Kind, configuration: Configuration, registry: Registry) -> Any:
    """The embedding, rank or sparsity of a configuration, as it is constructed; None without one.

    Raises:
        PluginError: it is not installed or cannot be loaded.
    """
    chosen = configuration.chosen(kind)
    if chosen is None:
        return None
    return registry.component(kind, chosen.name).load()(**chosen.hyperparameters)


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
    except (*DAMAGE, Infeasible) as error:
        raise ExportError(
            f"The structure and the tensors do not fit the configuration {configuration.digest}: "
            f"{reason_of(error)}. "
            f"Export the configuration again with the plugins installed now."
        ) from error


def _biases(model: Model) -> dict[str, nn.Parameter]:
    """What linears add to the products of their weights, by the names of these."""
    linears = (part for part in model.modules() if isinstance(part, Linear))
    return {part.weight.name: part.bias for part in linears if part.bias is not None}


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
        settle(built)
    weights = weights_of(built.model)
    if set(weights) != set(layouts):
        raise ExportError(
            f"The layouts must describe the weights {sorted(weights)}, got {sorted(layouts)}. "
            f"Export the configuration again with the plugins installed now."
        )
    for name, weight in weights.items():
        weight.matrix = _blank_for(weight, layouts[name])
    require_types(built.model, tensors)
    built.model.load_state_dict(dict(tensors), strict=True, assign=True)
    return Served(built.model, plan)


def _blank_for(weight: Weight, layout: dict[str, Any]) -> Matrix:
    matrix = blank(layout)
    wanted, got = (weight.rows, weight.columns), (matrix.rows, matrix.columns)
    if weight.expected is None and wanted != got:  # settling may make it another
        raise ValueError(f"{weight.name} has shape {wanted}, its layout {got}")
    return matrix


def require_types(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Refuses tensors of other types than the model's, which assigning would let pass.

    Raises:
        ValueError: saying which.
    """
    for name, wanted in model.state_dict().items():
        if name in tensors and tensors[name].dtype != wanted.dtype:
            raise ValueError(f"{name} must be {wanted.dtype}, got {tensors[name].dtype}")


def settle(built: Built) -> None:
    """Turns every table into what is stored; shapes alone on the meta device."""
    for table in built.layers.tables.values():
        table.settle()


def _refuse_conflicts(
    configuration: Configuration,
    registry: Registry,
    model: type,
    rank: Rank | None,
    sparsity: Sparsity | None,
) -> None:
    """Refuses what cannot stand together while a model trains."""
    for kind, part in _by_kind(rank, sparsity):
        chosen = configuration.chosen(kind)
        if part.acts_in_training and chosen and not issubclass(model, TrainedModel):
            raise Infeasible(
                f"{chosen.name} acts on weights while they train, but {configuration.model.name} "
                f"is solved in closed form. Choose a {kind} that acts after training."
            )
    if rank is None or sparsity is None:
        return
    first, second = configuration.rank, configuration.sparsity
    assert first is not None, "a rank was chosen"
    assert second is not None, "a sparsity was chosen"
    if rank.prunes and not registry.component("sparsity", second.name).neutral:
        raise Infeasible(
            f"{first.name} keeps sparse entries of its own, among which {second.name} would choose "
            f"again. Leave the sparsity out, or choose another rank."
        )
    if not sparsity.acts_in_training or rank.maskable:
        return
    if not registry.component("rank", first.name).neutral:
        does = "moves its factors itself" if rank.acts_in_training else "would fill them again"
        raise Infeasible(
            f"{second.name} masks weights while they train, but {first.name} {does}. "
            f"Prune after training, or leave the rank full."
        )


def _by_kind(rank: Rank | None, sparsity: Sparsity | None) -> list[tuple[Kind, Rank | Sparsity]]:
    pairs: list[tuple[Kind, Rank | Sparsity | None]] = [("rank", rank), ("sparsity", sparsity)]
    return [(kind, part) for kind, part in pairs if part is not None]


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


def _is_plain(weight: Weight) -> bool:
    """Whether it is no integers, codes or blocks, whose values no rank and no sparsity knows."""
    form = weight.price()
    return isinstance(form, Leaf) and form.precision == "fp32"
