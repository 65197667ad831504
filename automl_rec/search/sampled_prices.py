"""What the configurations of a space would cost, from random ones of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from automl_rec.errors import Infeasible
from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Catalog
from automl_rec.price import Price, price
from automl_rec.registry import Registry
from automl_rec.search.pricing import Pricing, bounds_broken
from automl_rec.search.reason import shorten
from automl_rec.search.samplers import make_sampler
from automl_rec.search.suggest import suggest
from automl_rec.search.suggestions import study_in_memory
from automl_rec.space.configuration import Configuration
from automl_rec.space.space import Space

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Prices of one model's configurations.

    Attributes:
        sampled: configurations drawn.
        reasons: why configurations were refused: each breaks a bound, or its parts cannot stand
            together.
        bytes: least and most of those that can be built; None where none can.
        operations: the same, of multiply-adds a request.
    """

    model: str
    sampled: int
    reasons: tuple[str, ...]
    bytes: Ends | None
    operations: Ends | None

    @property
    def refused(self) -> int:
        """How many of those drawn."""
        return len(self.reasons)


def sampled_prices(
    space: Space,
    catalog: Catalog,
    registry: Registry,
    objectives: Sequence[Objective],
    samples: int,
) -> list[PriceRange]:
    """Prices random configurations, model by model in the space's order.

    Args:
        space: what may be chosen.
        catalog: sizes of the data.
        registry: the installed components.
        objectives: whose bounds count.
        samples: configurations in all.
    """
    prices: dict[str, list[tuple[Price | None, str | None]]] = {
        m: [] for m in space.components["model"]
    }
    for configuration in _drawn(space, samples):
        prices[configuration.model.name].append(
            _priced(configuration, catalog, registry, objectives)
        )
    return [_range(model, found) for model, found in prices.items()]


def _drawn(space: Space, samples: int) -> list[Configuration]:
    study = study_in_memory(["minimize"], make_sampler("random", space.search.seed))
    drawn = []
    for _ in range(samples):
        try:
            drawn.append(suggest(space, study.ask()))
        except Infeasible:
            continue
    return drawn


def _priced(
    configuration: Configuration,
    catalog: Catalog,
    registry: Registry,
    objectives: Sequence[Objective],
) -> tuple[Price | None, str | None]:
    """The price, None where there is none, and why the configuration is refused, if it is."""
    try:
        found = price(configuration, catalog, registry)
    except Infeasible as error:
        return None, shorten(str(error))
    priced = Pricing(lambda _: found, objectives)(configuration)
    return found, bounds_broken(priced, objectives) if priced.refused else None


def _range(model: str, found: list[tuple[Price | None, str | None]]) -> PriceRange:
    prices = [one for one, _ in found if one is not None]
    reasons = tuple(reason for _, reason in found if reason is not None)
    if not prices:
        return PriceRange(model, len(found), reasons, None, None)
    size = min(p.bytes.low for p in prices), max(p.bytes.high for p in prices)
    work = min(p.operations.low for p in prices), max(p.operations.high for p in prices)
    return PriceRange(model, len(found), reasons, size, work)
