"""What a trial is measured by: every objective's name, direction and unit."""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from automl_rec.errors import SpaceError
from automl_rec.objectives.objective import Direction, Measurement, Objective, Task

if TYPE_CHECKING:
    from automl_rec.space.space import ObjectiveRequest

QUALITIES = ("ndcg", "recall", "hit", "mrr", "map", "coverage")
ROW_QUALITIES: dict[str, Direction] = {
    "auc": "maximize",
    "gauc": "maximize",
    "logloss": "minimize",
}
COSTS = {
    "bytes": Objective("bytes", "minimize", "B", priced=True),
    "bytes_tables": Objective("bytes_tables", "minimize", "B", priced=True),
    "bytes_dense": Objective("bytes_dense", "minimize", "B", priced=True),
    "bytes_packed": Objective("bytes_packed", "minimize", "B", priced=True),
    "bytes_resident": Objective("bytes_resident", "minimize", "B", priced=True),
    "bytes_training": Objective("bytes_training", "minimize", "B", priced=True),
    "latency_ms": Objective("latency_ms", "minimize", "ms"),
    "operations": Objective("operations", "minimize", "multiply-adds", priced=True),
    "train_seconds": Objective("train_seconds", "minimize", "s"),
}
COLD = 10
"""Train users below which an item is cold, where the objective's name says no number."""
_QUALITY = re.compile(rf"(?!coverage@\d+/)({'|'.join(QUALITIES)})@([1-9]\d*)(/cold([1-9]\d*)?)?")

__all__ = [
    "COLD",
    "COSTS",
    "QUALITIES",
    "ROW_QUALITIES",
    "Measurement",
    "Objective",
    "coldness",
    "cutoff",
    "is_quality",
    "named",
    "resolve",
    "task_of",
]


def named(name: str) -> Objective | None:
    """The objective of a name, e.g. ``"ndcg@10"`` or ``"bytes"``; None where there is none."""
    if cutoff(name):
        return Objective(name, "maximize", "")
    if name in ROW_QUALITIES:
        return Objective(name, ROW_QUALITIES[name], "")
    return COSTS.get(name)


def cutoff(name: str) -> tuple[str, int] | None:
    """The metric and list length of a quality of lists, e.g. ``("ndcg", 10)``; None for others."""
    found = _QUALITY.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def coldness(name: str) -> int | None:
    """The train users below which an item counts for a quality, 10 for ``"ndcg@10/cold"``.

    Returns:
        None where every item counts.
    """
    found = _QUALITY.fullmatch(name)
    return int(found[4] or COLD) if found and found[3] else None


def task_of(name: str) -> Task | None:
    """The task of which a name is a quality; None for a cost, which every task has.

    ``"retrieval"`` stands for all models that make lists, those of sequences included.
    """
    if name in ROW_QUALITIES:
        return "ranking"
    return "retrieval" if cutoff(name) else None


def is_quality(name: str) -> bool:
    """Whether a name is a quality, of lists or of rows; training watches the first one."""
    return task_of(name) is not None


def resolve(
    requests: Sequence["ObjectiveRequest"], task: Task = "retrieval"
) -> tuple[Objective, ...]:
    """The objectives a space asks for.

    Args:
        requests: as the space names them.
        task: of the space's data.

    Raises:
        SpaceError: a name is unknown, stands twice, has the wrong direction or an impossible
            bound, is a quality of another task, or no quality is among them.
    """
    resolved = tuple(_resolve(request, task) for request in requests)
    names = [objective.name for objective in resolved]
    for request in requests:
        if names.count(request.name) > 1:
            raise SpaceError(
                f"{request.where}: an objective must stand once, got {request.name} "
                f"{names.count(request.name)} times. Remove one."
            )
    if not any(is_quality(name) for name in names):
        where = f"{requests[0].where}: " if requests else ""
        raise SpaceError(
            f"{where}objectives must name at least one quality, got {', '.join(names) or 'none'}. "
            f"Add one of {', '.join(_EXAMPLES[task])}."
        )
    return resolved


def _resolve(request: "ObjectiveRequest", task: Task) -> Objective:
    objective = named(request.name)
    if objective is None:
        raise SpaceError(
            f"{request.where}: no objective is named {request.name!r}. {_suggestion(request.name)}"
        )
    if request.direction not in (None, objective.direction):
        raise SpaceError(
            f"{request.where}: {request.name} can only be {objective.direction}d, got "
            f"{_written(request, request.direction)}. "
            f"Write {request.name}: {_written(request, objective.direction)}."
        )
    _check_task(request, task)
    _check_bound(request, objective)
    return replace(objective, bound=request.bound)


def _check_task(request: "ObjectiveRequest", task: Task) -> None:
    """Refuse a quality that these data cannot be judged by."""
    own = task_of(request.name)
    if own not in (None, task):
        raise SpaceError(
            f"{request.where}: {request.name} needs data of the task {own}, got data.task "
            f"{task}. Name one of {', '.join(_EXAMPLES[task])}, or write data.task: {own}."
        )


def _check_bound(request: "ObjectiveRequest", objective: Objective) -> None:
    """Refuse a bound outside the values that the objective can have."""
    bound, share = request.bound, objective.direction == "maximize"
    if bound is not None and not 0 <= bound <= (1 if share else math.inf):
        required = "from 0 to 1" if share else "0 or more"
        raise SpaceError(
            f"{request.where}: the bound of {request.name} must be {required}, got {bound:g}. "
            "Correct it."
        )


_EXAMPLES: dict[Task, list[str]] = {
    "retrieval": [f"{metric}@10" for metric in QUALITIES],
    "ranking": list(ROW_QUALITIES),
}


def _written(request: "ObjectiveRequest", direction: Direction | None) -> str:
    """A direction as a space says it: with its bound, if there is one."""
    if request.bound is None:
        return f"{direction}"
    return f"{{{'max' if direction == 'minimize' else 'min'}: {request.bound:g}}}"


def _suggestion(name: str) -> str:
    names = [*_EXAMPLES["retrieval"], *_EXAMPLES["ranking"], *COSTS]
    stem = re.split("[@/]", name)[0]
    close = [stem] if stem in ROW_QUALITIES else difflib.get_close_matches(name, names, 1)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    return f"Known: {', '.join(names)} (any list length; /cold after it for cold items).{hint}"
