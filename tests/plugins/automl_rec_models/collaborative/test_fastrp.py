from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from automl_rec.plugin import Catalog, Layers
from automl_rec.testing.planted import Planted
from automl_rec_models.collaborative.fastrp import FastRp, _projection
from automl_rec_models.collaborative.popularity import Popularity

Fit = Callable[..., Any]
Array = npt.NDArray[np.float64]
PLAIN: dict[str, Any] = {
    "width": 8,
    "projection": "gaussian",
    "walk": "transition",
    "degree_exponent": -0.5,
    "weight_1": 0.5,
    "weight_2": 2.0,
    "weight_3": 1.0,
    "weight_4": 3.0,
    "normalise": False,
    "standardise": False,
    "similarity": "dot",
}


def adjacency(catalog: Catalog) -> Array:
    x = catalog.matrix.toarray().astype(np.float64)
    return np.block([[np.zeros((len(x), len(x))), x], [x.T, np.zeros((x.shape[1], x.shape[1]))]])


def rows_of(model: FastRp) -> Array:
    """Users, then items."""
    return torch.cat([model.user.rows(), model.item.rows()]).double().numpy()


def projection_of(settings: dict[str, Any], nodes: int) -> Array:
    """The random rows a fit of seed 0 draws."""
    drawn = torch.Generator().manual_seed(1)
    return _projection(settings["projection"], nodes, settings["width"], drawn).astype(np.float64)


def dense_powers(catalog: Catalog, settings: dict[str, Any]) -> list[Array]:
    """M^q L R for q = 1 to 4."""
    graph = adjacency(catalog)
    degrees = graph.sum(1)
    known = degrees > 0
    step = graph
    if settings["walk"] == "transition":
        step = graph / np.where(known, degrees, 1.0)[:, None]
    scale = np.where(known, np.where(known, degrees, 1.0) ** settings["degree_exponent"], 0.0)
    start = scale[:, None] * projection_of(settings, len(graph))
    return [np.linalg.matrix_power(step, q) @ start for q in (1, 2, 3, 4)]


@pytest.mark.parametrize("projection", ["gaussian", "sparse", "very-sparse"])
@pytest.mark.parametrize("walk", ["transition", "adjacency"])
def test_rows_are_the_weighted_powers_of_the_graph(
    fit: Fit, catalog: Catalog, walk: str, projection: str
) -> None:
    settings = {**PLAIN, "walk": walk, "projection": projection}
    first, second, third, fourth = dense_powers(catalog, settings)
    expected = 0.5 * first + 2 * second + third + 3 * fourth
    rows = rows_of(fit(FastRp, catalog, **settings))
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected).max() > 0.01


def test_normalised_powers_have_rows_of_one_length(fit: Fit, catalog: Catalog) -> None:
    powers = dense_powers(catalog, PLAIN)
    lengths = [np.linalg.norm(power, axis=1, keepdims=True) for power in powers]
    units = [p / np.where(n > 0, n, 1.0) for p, n in zip(powers, lengths, strict=True)]
    expected = 0.5 * units[0] + 2 * units[1] + units[2] + 3 * units[3]
    rows = rows_of(fit(FastRp, catalog, **{**PLAIN, "normalise": True}))
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)


def test_rows_are_linear_in_the_random_start(catalog: Catalog) -> None:
    model = FastRp(catalog, Layers(catalog, torch.Generator()), **PLAIN)
    one, other = (model._start(catalog, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    mixed = one[0] + 3 * other[0], one[1] + 3 * other[1]
    apart = [np.concatenate(model._embed(catalog, start)) for start in (one, other)]
    together = np.concatenate(model._embed(catalog, mixed))
    np.testing.assert_allclose(together, apart[0] + 3 * apart[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("projection", "kurtosis"), [("gaussian", 3.0), ("sparse", 3.0), ("very-sparse", 52**0.5)]
)
def test_wide_rows_keep_the_inner_products_of_the_graph(
    fit: Fit, catalog: Catalog, projection: str, kurtosis: float
) -> None:
    weights = {"weight_1": 1.0, "weight_2": 0.0, "weight_3": 0.0, "weight_4": 0.0}
    settings = {**PLAIN, **weights, "projection": projection, "degree_exponent": 0.0}
    rows = rows_of(fit(FastRp, catalog, **{**settings, "width": 4096}))
    graph = adjacency(catalog)
    step = graph / np.maximum(graph.sum(1), 1)[:, None]
    noise = ((kurtosis - 1) / 4096) ** 0.5  # of the squared length of a row of length 1
    assert np.abs(rows @ rows.T - step @ step.T).max() < 3 * noise
    assert np.abs(step @ step.T).max() > 10 * noise


@pytest.mark.parametrize(
    ("kind", "filled"), [("gaussian", 1.0), ("sparse", 1 / 3), ("very-sparse", 0.05)]
)
def test_a_projection_has_the_moments_and_zeros_it_should(kind: str, filled: float) -> None:
    rows = _projection(kind, 400, 500, torch.Generator().manual_seed(0))
    assert abs(rows.mean()) < 4 / (500 * 400 * 500) ** 0.5
    assert rows.var() * 500 == pytest.approx(1.0, abs=0.05)
    assert np.count_nonzero(rows) / rows.size == pytest.approx(filled, abs=0.003)


def test_standard_columns_have_mean_0_and_variance_1_over_those_who_met(
    fit: Fit, catalog: Catalog
) -> None:
    rows = rows_of(fit(FastRp, catalog, **{**PLAIN, "standardise": True}))
    met = adjacency(catalog).any(1)
    np.testing.assert_allclose(rows[met].mean(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(rows[met].var(0), 1.0, rtol=1e-5)


@pytest.mark.parametrize("standardise", [True, False])
def test_cosine_rows_have_length_1_and_those_who_met_nothing_0(
    fit: Fit, catalog: Catalog, *, standardise: bool
) -> None:
    settings = {**PLAIN, "similarity": "cosine", "standardise": standardise}
    lengths = np.linalg.norm(rows_of(fit(FastRp, catalog, **settings)), axis=1)
    np.testing.assert_allclose(lengths, adjacency(catalog).any(1), rtol=1e-6)
    assert lengths[0] == lengths[40 + 11] == 0.0


def test_the_same_seed_gives_the_same_bits(fit: Fit, catalog: Catalog) -> None:
    first, again, other = (rows_of(fit(FastRp, catalog, seed=s, **PLAIN)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_blocks_are_found(
    fit: Fit,
    planted: Planted,
    ndcg_at_10: Callable[[Any, Planted], float],
    seed: int,
) -> None:
    weights = {"weight_1": 0.0, "weight_2": 0.0, "weight_3": 1.0, "weight_4": 1.0}
    settings = {**PLAIN, **weights, "width": 64, "similarity": "cosine"}
    popularity = ndcg_at_10(fit(Popularity, planted.catalog), planted)
    found = ndcg_at_10(fit(FastRp, planted.catalog, seed=seed, **settings), planted)
    assert found >= 2.5 * popularity
