"""Finite spaces are listed whole; random draws follow each domain's scale."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from automl_rec.search.enumeration import configurations, draw
from automl_rec.space.space import Space

SpaceOf = Callable[[str], Space]


def test_every_configuration_of_a_finite_space_comes_once(space_of: SpaceOf) -> None:
    space = space_of(
        "model: {tower: {width: [4, 8], rate: 0.1}, tiny: null}\nrank: [whole, svd: {ratio: 0.5}]\n"
        "sparsity: [none, moving]"
    )
    found = [configuration.text for configuration in configurations(space)]
    # tower: 2 widths x (bce x 2 negatives + full) x 3 pairs of rank and sparsity; tiny: 3 sizes.
    assert len(found) == 2 * 3 * 3 + 3
    assert len(set(found)) == len(found)
    assert len(found) == space.configurations()


def test_a_space_with_real_numbers_cannot_be_listed(space_of: SpaceOf) -> None:
    with pytest.raises(ValueError, match="real numbers"):
        list(configurations(space_of("model: closed")))


def test_draws_are_uniform_on_the_scale_of_the_domain(space_of: SpaceOf) -> None:
    space = space_of("model: {tower: {loss: full}}")
    generator = np.random.default_rng(0)
    drawn = [draw(space, generator).model.hyperparameters for _ in range(4000)]
    rates = np.log10([float(values["rate"]) for values in drawn])
    counts, _ = np.histogram(rates, bins=3, range=(-3, 0))
    assert counts == pytest.approx(np.full(3, 4000 / 3), rel=0.1)
    widths = Counter(int(values["width"]) for values in drawn)
    assert set(widths) == set(range(1, 65))
    # An integer k on a logarithmic scale has the share of log((k + 1/2) / (k - 1/2)).
    whole = np.log(64.5 / 0.5)
    assert widths[1] == pytest.approx(4000 * np.log(3) / whole, rel=0.1)


def test_equal_generators_draw_alike(space_of: SpaceOf) -> None:
    space = space_of("model: [tower, closed]")
    one, other = np.random.default_rng(4), np.random.default_rng(4)
    assert [draw(space, one) for _ in range(20)] == [draw(space, other) for _ in range(20)]
