"""Configurations without any compression, as plain data, and what they are measured by."""

from typing import Any

from automl_rec.objectives import named
from automl_rec.objectives.objective import Objective


def plain(model: str, **values: Any) -> dict[str, Any]:
    """A model whose tables and weights stay as they are."""
    parts = {"model": {model: values}, "rank": {"full": {}}, "sparsity": {"none": {}}}
    if model == "ease":
        return parts
    return parts | {"embedding": {"full": {"precision": "fp32"}}}


def factors(model: str, epochs: int, **values: Any) -> dict[str, Any]:
    """A factor model of width 64 trained by gradient for so many epochs, the best one kept."""
    training = {"learning_rate": 1e-3, "batch_size": 2048, "patience": epochs, "evaluate_every": 1}
    return plain(model, **({"width": 64, "epochs": epochs} | training | values))


def objectives(*names: str) -> list[Objective]:
    """Objectives by their names."""
    found = [named(name) for name in names]
    return [objective for objective in found if objective is not None]
