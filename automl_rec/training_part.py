"""The training part of a configuration: configurations that share it share one training.

What is left out is the after part: what acts on the finished model alone.
"""

from dataclasses import replace

from automl_rec.builder import scheme
from automl_rec.plugin import Embedding, Kind, Rank, Sparsity
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration


def training_part(configuration: Configuration, registry: Registry) -> Configuration:
    """What of a configuration decides its training; its digest names it.

    Raises:
        PluginError: a component is not installed or cannot be loaded.
    """
    return replace(
        configuration,
        embedding=_trained(configuration, scheme("embedding", configuration, registry)),
        rank=_acting(configuration, "rank", registry),
        sparsity=_acting(configuration, "sparsity", registry),
    )


def _acting(configuration: Configuration, kind: Kind, registry: Registry) -> Chosen | None:
    """The rank or sparsity, if it acts in training."""
    part: Rank | Sparsity | None = scheme(kind, configuration, registry)
    return configuration.chosen(kind) if part is not None and part.acts_in_training else None


def _trained(configuration: Configuration, embedding: Embedding | None) -> Chosen | None:
    """The embedding without the hyperparameters that act after training."""
    chosen = configuration.embedding
    if chosen is None or embedding is None:
        return None
    values = chosen.hyperparameters.items()
    kept = {name: value for name, value in values if name not in embedding.after_training}
    return Chosen(chosen.name, kept)
