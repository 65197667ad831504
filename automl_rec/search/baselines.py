"""What every study starts with: models so cheap that the others must be worth their price."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from automl_rec.errors import Infeasible
from automl_rec.plugin import COMPRESSIONS, Component, Domain, Float, Integer, Value
from automl_rec.search.references import References
from automl_rec.space.configuration import Chosen, Configuration

if TYPE_CHECKING:
    from automl_rec.registry import Registry
    from automl_rec.space.space import Space


STEPS = 5
"""In so many steps a sparsity is driven from its defaults to the low ends of its domains."""


def baselines(
    space: "Space",
    registry: "Registry",
    fits: Callable[[Configuration], bool],
    trials: int | None = None,
) -> list[Configuration]:
    """The configurations run before any suggestion.

    First the baselines without hyperparameters (popularity) that solve the task of the data,
    whether or not the space lists them;
    then those of the space at their defaults; then these pruned by each sparsity of the space: as
    near to its defaults as the bounds allow; and, within a quarter of the trials, half-way to the
    low ends of its domains and there: the cheap end of the front.

    Args:
        space: the study's.
        registry: the installed components.
        fits: whether a configuration may keep the study's bounds.
        trials: the study's budget; None for no limit.
    """
    models = registry.components("model")
    tuned = {
        name: component
        for name, component in models.items()
        if component.baseline and component.domains and name in space.components["model"]
    }
    fixed = sorted(References.of(registry, space.data.task).models)
    found = [_neutral(name, models[name], registry) for name in fixed]
    found += [space.defaults(name) for name in tuned]
    ladders = [
        ladder
        for name, component in tuned.items()
        if "sparsity" in component.compressible
        for ladder in _ladders(space, space.defaults(name), registry, fits)
    ]
    found += [ladder[0] for ladder in ladders]
    deeper = [rung for level in zip_longest(*(ladder[1:] for ladder in ladders)) for rung in level]
    found += [rung for rung in deeper if rung][: None if trials is None else _room(trials, found)]
    return list({configuration.digest: configuration for configuration in found}.values())


def published(space: "Space", trials: int | None = None) -> list[Configuration]:
    """The other models of the space at their defaults: where the sampler begins to learn.

    Args:
        space: the study's.
        trials: the study's budget; these take a quarter of it at most.
    """
    rest = [name for name, model in space.descriptions["model"].items() if not model.baseline]
    return [space.defaults(name) for name in rest][: None if trials is None else trials // 4]


def _room(trials: int, found: Sequence[Configuration]) -> int:
    """How many more a quarter of the trials leaves room for."""
    return max(0, trials // 4 - len(found))


def _neutral(name: str, component: Component, registry: "Registry") -> Configuration:
    """The model with compressions that leave it as it is."""
    chosen = {}
    for kind in sorted(COMPRESSIONS & component.compressible):
        neutral = registry.neutral(kind)
        if neutral is not None:
            values = {key: d.default for key, d in neutral.domains.items() if not d.only_if}
            chosen[kind] = Chosen(neutral.name, values)
    return Configuration(Chosen(name), **chosen)


def _ladders(
    space: "Space",
    start: Configuration,
    registry: "Registry",
    fits: Callable[[Configuration], bool],
) -> Iterator[list[Configuration]]:
    """For each sparsity of the space three steps that fit: the first, the middle, the last."""
    for name in space.components["sparsity"]:
        if not registry.component("sparsity", name).neutral:
            try:
                steps = [_with_sparsity(space, start, name, step) for step in range(STEPS + 1)]
            except Infeasible:
                continue
            fitting = list(filter(fits, steps)) or steps[:1]
            last = len(fitting) - 1
            yield [fitting[rung] for rung in sorted({0, len(fitting) // 2, last})]


def _with_sparsity(space: "Space", start: Configuration, sparsity: str, step: int) -> Configuration:
    """The configuration with another sparsity, some steps from its defaults."""

    def choose(name: str, domain: Domain) -> Value:
        kind, _, rest = name.partition(".")
        if kind == "sparsity":
            return _towards_low(domain, step / STEPS) if rest else sparsity
        chosen = start.chosen(kind)  # type: ignore[arg-type]
        assert chosen is not None
        return chosen.hyperparameters[rest.rpartition(".")[2]] if rest else chosen.name

    return space.resolve(choose)


def _towards_low(domain: Domain, part: float) -> Value:
    """What lies a part of the way from the default to the low end, on the domain's scale."""
    if not isinstance(domain, Float | Integer) or part == 0:
        return domain.default
    if part == 1:
        return domain.low
    low, start = float(domain.low), float(domain.default)
    if domain.log:
        value = math.exp(math.log(start) + part * (math.log(low) - math.log(start)))
    else:
        value = start + part * (low - start)
    return round(value) if isinstance(domain, Integer) else value
