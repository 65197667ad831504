"""What the quality of a study's models is compared with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from automl_rec.space.tasks import solves

if TYPE_CHECKING:
    from automl_rec.data import Prepared
    from automl_rec.data.request import Task
    from automl_rec.registry import Registry


@dataclass(frozen=True, slots=True)
class References:
    """What every study is compared with.

    Attributes:
        models: baselines without hyperparameters (popularity), which run in every study.
        simplest: where single events are judged, the models whose quality others must be worth
            their price against (logistic regression).
        constant: quality -> what it is where all single events are judged alike.
    """

    models: frozenset[str] = frozenset()
    simplest: frozenset[str] = frozenset()
    constant: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, registry: "Registry", task: "Task", constant: Mapping[str, float] | None = None
    ) -> Self:
        """Those of a study on data of a task, the constant's as `constant_answer` gave them."""
        models = registry.components("model").items()
        flagged = {name: c for name, c in models if c.baseline and solves(c, task)}
        fixed = frozenset(name for name, component in flagged.items() if not component.domains)
        simplest = frozenset(flagged) - fixed if task == "ranking" else frozenset[str]()
        return cls(fixed, simplest, constant or {})


def constant_answer(data: "Prepared") -> dict[str, float]:
    """Quality -> its value on validation where all rows get the probability of train's mean label.

    Empty for data without rows.
    """
    if data.catalog.rows is None:
        return {}
    share = min(max(float(data.catalog.rows.labels.mean()), 1e-6), 1 - 1e-6)
    ones = float(data.rows("validation").labels.mean())
    loss = -(ones * math.log(share) + (1 - ones) * math.log(1 - share))
    return {"auc": 0.5, "gauc": 0.5, "logloss": loss}
