"""Configurations without any compression, as plain data, and what they are measured by."""

from pathlib import Path
from typing import Any

import yaml

from automl_rec.objectives import named
from automl_rec.objectives.objective import Objective
from automl_rec.registry import Registry
from automl_rec.space.checker import check


def plain(model: str, **values: Any) -> dict[str, Any]:
    """A model at its defaults but for some values, whose tables and weights stay as they are."""
    registry = Registry.discover()
    ranking = "ranking" in registry.component("model", model).tasks
    sections = {
        "data": {"path": "rows.csv", "task": "ranking"} if ranking else {"path": "events.csv"},
        "objectives": ["auc" if ranking else "ndcg@10", "bytes"],
        "model": {model: values},
        "embedding": {"full": {"precision": "fp32"}},
    }
    space = check(yaml.safe_dump(sections, sort_keys=False), Path("space.yaml"), registry)
    return space.defaults(model).as_dict()


def factors(model: str, epochs: int, **values: Any) -> dict[str, Any]:
    """A factor model of width 64 trained by gradient for so many epochs, the best one kept."""
    training = {"learning_rate": 1e-3, "batch_size": 2048, "patience": epochs, "evaluate_every": 1}
    return plain(model, **({"width": 64, "epochs": epochs} | training | values))


def objectives(*names: str) -> list[Objective]:
    """Objectives by their names."""
    found = [named(name) for name in names]
    return [objective for objective in found if objective is not None]
