"""One short line for a configuration."""

from collections.abc import Mapping

from automl_rec.plugin import Value
from automl_rec.space.configuration import Chosen, Configuration

SHOWN = 3


def title_of(configuration: Configuration) -> str:
    """The model with its first hyperparameters, and the compressions that have any."""
    chosen = (configuration.embedding, configuration.rank, configuration.sparsity)
    rest = [_short(part) for part in chosen if part and part.hyperparameters]
    return " + ".join([_short(configuration.model), *rest])


def _short(chosen: Chosen) -> str:
    values = _shown(chosen.hyperparameters)
    return f"{chosen.name}({values})" if values else chosen.name


def _shown(values: Mapping[str, Value]) -> str:
    pairs = [f"{name}={_value(value)}" for name, value in values.items()]
    return " ".join(pairs[:SHOWN]) + (" ..." if len(pairs) > SHOWN else "")


def _value(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
