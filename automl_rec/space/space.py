"""The checked space: what may be chosen, for which objectives, on which data, with what budget."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from automl_rec.data.request import DataRequest
from automl_rec.errors import Infeasible, SpaceError
from automl_rec.plugin import Choice, Component, Constant, Domain, Kind, Value
from automl_rec.space.combining import ORDER, Combining
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.counting import assignments, holds

Choose: TypeAlias = Callable[[str, Domain], Value]
MOST_WORKERS = 10_000
"""Trials at once: more are a slip of the pen."""


@dataclass(frozen=True, slots=True)
class ObjectiveRequest:
    """An objective as the space asks for it; `automl_rec.objectives.resolve` checks its name.

    Attributes:
        direction: None takes the objective's own.
        bound: what every configuration must keep: at most this where it is minimised, at least
            this where it is maximised.
        where: file and line, for messages.
    """

    name: str
    direction: Literal["maximize", "minimize"] | None
    bound: float | None
    where: str


@dataclass(frozen=True, slots=True)
class Budget:
    """When a study ends; None is no limit.

    Attributes:
        trials: finished trials.
        seconds: of wall time for the study.
        trial_seconds: of wall time for one trial.
    """

    trials: int | None = None
    seconds: float | None = None
    trial_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How configurations are drawn and trials are stopped.

    Attributes:
        sampler: who draws the next configuration.
        early_stopping: whether a hopeless trial is stopped before its end.
        workers: processes; None takes one for each core, or for each `Resources.cpus` of them, at
            most one for each trial.
        seed: of everything random in the study.
        min_epochs: no trial is stopped before it has trained that long.
        min_finished: no trial is stopped before so many of its kind have finished.
        lease: seconds that a process may be silent before its trials are given to others.
        after_parts: how many trials may be derived from one training.
    """

    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    early_stopping: Literal["safe", "none"] = "safe"
    workers: int | None = None
    seed: int = 0
    min_epochs: int = 5
    min_finished: int = 5
    lease: float = 120.0
    after_parts: int = 8


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial may use.

    Attributes:
        cpus: processors; None leaves them to the engine, which divides what there is among its
            workers.
        gpus: of them, or the part of one.
        memory: bytes that its process holds, those of its imports among them and pages of mapped
            files not; a trial beyond is ended. None is no limit.
        custom: name of another resource that machines of a cluster have -> how much of it.
    """

    cpus: int | None = None
    gpus: float = 0.0
    memory: int | None = None
    custom: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Space:
    """Everything a study may choose from.

    Attributes:
        components: kind -> name -> hyperparameter -> domain, inside the component's own.
        descriptions: kind -> name -> the component as its plugin describes it.
        text: the file as it was read.
        path: where it was read from.
    """

    data: DataRequest
    objectives: tuple[ObjectiveRequest, ...]
    budget: Budget
    search: SearchSettings
    resources: Resources
    components: Mapping[Kind, Mapping[str, Mapping[str, Domain]]]
    descriptions: Mapping[Kind, Mapping[str, Component]]
    text: str
    path: str

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change when other configurations are meant.

        Comments, budget, search settings, resources, data and objectives do not count.
        """
        return hashlib.sha256(json.dumps(self.plain, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def plain(self) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
        """What may be chosen, as plain data: kind -> name -> hyperparameter -> domain."""
        return {
            kind: {name: {h: _plain(d) for h, d in domains.items()} for name, domains in c.items()}
            for kind, c in self.components.items()
        }

    def resolve(self, choose: Choose) -> Configuration:
        """The configuration that a series of choices leads to.

        Args:
            choose: called for every choice that is open, in a fixed order, with its dotted name
                (``"model"``, ``"model.lightgcn.layers"``, ``"embedding"``, ...) and its domain.
                What acts on nothing is never asked for.

        Raises:
            Infeasible: components were chosen that exclude each other.
        """
        names: dict[Kind, str] = {}
        chosen: dict[Kind, Chosen] = {}
        for kind in ORDER:
            if self.combining.acts(kind, names):
                names[kind] = name = self._choose_component(kind, names, choose)
                chosen[kind] = Chosen(name, self._choose_values(kind, name, choose))
        return Configuration(**chosen)

    def defaults(self, model: str) -> Configuration:
        """The model with every hyperparameter at its default, compressed as little as possible.

        Raises:
            SpaceError: the space does not hold the model.
        """
        if model not in self.components["model"]:
            raise SpaceError(
                f"{self.path}: the model {model} is not in this space. "
                f"Choose one of {', '.join(self.components['model'])}."
            )
        gentlest = min(self.combining.combinations({"model": model}), key=self._changes)

        def choose(name: str, domain: Domain) -> Value:
            return gentlest.get(name, domain.default)  # type: ignore[call-overload,no-any-return]

        return self.resolve(choose)

    def configurations(self) -> int | None:
        """How many different configurations there are; None where a real number is open."""
        sizes = {}
        for kind, named in self.components.items():
            for name, domains in named.items():
                size = assignments(domains)
                if size is None and any(self.combining.combinations({kind: name})):
                    return None
                sizes[kind, name] = size or 0
        return self.combining.count(sizes)

    @property
    def combining(self) -> Combining:
        """Which of the components can stand together."""
        return Combining(self.descriptions)

    def _changes(self, names: Mapping[Kind, str]) -> int:
        """How many of the components change the model they act on."""
        return sum(not self.descriptions[kind][name].neutral for kind, name in names.items())

    def _choose_component(self, kind: Kind, names: Mapping[Kind, str], choose: Choose) -> str:
        known = tuple(self.components[kind])
        compatible = self.combining.compatible(kind, names)
        if len(compatible) == 1:
            return compatible[0]
        neutral = [name for name in known if self.descriptions[kind][name].neutral]
        default = (neutral or known)[0]
        name = default if len(known) == 1 else str(choose(kind, Choice(known, default)))
        reason = self.combining.exclusion({**names, kind: name})
        if reason is not None:
            raise Infeasible(f"{reason}. Choose another {kind}.")
        return name

    def _choose_values(self, kind: Kind, name: str, choose: Choose) -> dict[str, Value]:
        """A value for every hyperparameter that acts under the values before it."""
        values: dict[str, Value] = {}
        for hyperparameter, domain in self.components[kind][name].items():
            if not holds(domain, values):
                continue
            if isinstance(domain, Constant):
                values[hyperparameter] = domain.value
            else:
                values[hyperparameter] = choose(f"{kind}.{name}.{hyperparameter}", domain)
        return values


def _plain(domain: Domain) -> dict[str, Any]:
    """What a domain allows, as plain data."""
    content = {f.name: getattr(domain, f.name) for f in fields(domain)}
    kept = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in content.items()
        if name not in ("default", "search")
    }
    conditions = {name: list(values) for name, values in domain.only_if.items()}
    return {"domain": type(domain).__name__, **kept, "only_if": conditions}
