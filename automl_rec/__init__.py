"""AutoML for recommenders: which models to ship, under which memory and latency budget.

study = automl_rec.search("space.yaml")
study.export("model", pick="knee")
automl_rec.load("model").recommend(["42"], k=10)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_rec import search
    from automl_rec.search.study import Study
    from automl_rec.serving import Ranker, Recommender, load

__version__ = "0.1.0"
__all__ = ["Ranker", "Recommender", "Study", "load", "search"]

_HOMES = {
    "Ranker": "serving",
    "Recommender": "serving",
    "Study": "search.study",
    "load": "serving",
}


def __getattr__(name: str) -> Any:
    # Plugins import this package: nothing heavy may load before it is used.
    if name == "search":
        return importlib.import_module(f"{__name__}.search")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
