"""Which models the task of the data takes."""

from automl_rec.data.request import Task
from automl_rec.plugin import Component

_SOLVED = {"retrieval": {"retrieval", "sequence"}, "ranking": {"ranking"}}
"""Task of the data -> the tasks of models that can be measured on them."""


def solves(model: Component, task: Task) -> bool:
    """Whether a model can be measured on data of a task."""
    return bool(_SOLVED[task] & set(model.tasks))
