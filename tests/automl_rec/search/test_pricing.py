import pytest

from automl_rec.errors import Infeasible
from automl_rec.objectives.objective import Objective
from automl_rec.plugin import Interval
from automl_rec.price import Price
from automl_rec.search.pricing import Pricing, bounds_broken
from automl_rec.space.configuration import Chosen, Configuration

BYTES = Objective("bytes", "minimize", "B", bound=1000.0, priced=True)
ONE, OTHER = (Configuration(Chosen("tower", {"width": width})) for width in (1, 2))


def test_a_configuration_is_priced_once_and_refused_whenever_asked() -> None:
    asked: list[Configuration] = []

    def price(configuration: Configuration) -> Price:
        asked.append(configuration)
        if configuration == OTHER:
            raise Infeasible("It cannot be. Choose another.")
        size = Interval(2000.0, 3000.0)
        return Price(size, size, Interval(0, 0), size, size, size)

    pricing = Pricing(price, [BYTES])
    first = pricing(ONE)
    assert pricing(Configuration.from_dict(ONE.as_dict())) == first
    assert asked == [ONE]
    assert first.refused
    assert first.violations == {"bytes": 1000.0}
    told = "Refused on price: bytes at least 2 kB, 1 kB beyond the bound."
    assert bounds_broken(first, [BYTES]) == told
    for _ in range(2):
        with pytest.raises(Infeasible):
            pricing(OTHER)
